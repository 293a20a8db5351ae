"""The token-table encoder, include/mmkg_encoder.h, as one kernel: a block makes the vectors of ROWS entities.

  gather          of token_gather.py: structure and tokens -> s, what the heads make of all but an entity's own value,
                  and the share of that value
  _projected      own value, output projection, first norm -> x
  _fed_forward    feed-forward, CHUNK hidden columns at a time, which stay in registers; second norm

Products take DEPTH columns of s and x at a time, and Triton takes no part of a tensor that is in registers. So a block
writes two vectors an entity, s or x and what was attended to, to memory of its own, and reads them back through the
cache. Products over all columns at once hold x, taken apart, in the registers of every warp: tried for the feed-forward
alone at PADDED = 256, they spill, with 89 loads for 16 entities on 8.0 and thousands for 64.

Compiled for every target and tried in Triton's interpreter; never run on a GPU.
"""

import triton
import triton.language as tl

from ..specs import KernelSpec
from .layer import GROUP, addresses, norm, product
from .token_gather import gather


@triton.jit
def _projected(
    own,
    attended,
    share,
    value_weight,
    value_bias,
    output_weight,
    output_bias,
    pooled,
    norm_weight,
    norm_bias,
    entities,
    width,
    epsilon,
    PADDED: tl.constexpr,
    CHUNK: tl.constexpr,
    DEPTH: tl.constexpr,
    GROUP: tl.constexpr,
):
    """norm(pooled + (attended + share * (own @ value_weight + value_bias)) @ output_weight + output_bias)."""
    columns = tl.arange(0, PADDED)
    start = entities * PADDED
    everyone = tl.full(entities.shape, True, tl.int1)
    total = tl.zeros((entities.shape[0], PADDED), dtype=tl.float32)
    for chunk in range(PADDED // CHUNK):
        at = chunk * CHUNK + tl.arange(0, CHUNK)
        value = product(own, start, everyone, value_weight, PADDED, at, PADDED // DEPTH, DEPTH)
        value += tl.load(value_bias + at)[None, :]
        weight = tl.load(share + entities * (PADDED // GROUP) + chunk * CHUNK // GROUP)
        context = tl.load(attended + start[:, None] + at[None, :])
        context += weight[:, None] * value
        below = tl.load(output_weight + at[:, None] * PADDED + columns[None, :])
        total = tl.dot(context, below, total, input_precision="tf32x3")
    x = tl.load(pooled + columns)[None, :] + total + tl.load(output_bias + columns)[None, :]
    return norm(x, norm_weight, norm_bias, columns, width, epsilon)


@triton.jit
def _fed_forward(
    x,
    hidden_weight,
    hidden_bias,
    feedforward_weight,
    feedforward_bias,
    norm_weight,
    norm_bias,
    entities,
    width,
    hidden_chunks,
    epsilon,
    PADDED: tl.constexpr,
    CHUNK: tl.constexpr,
    DEPTH: tl.constexpr,
):
    """norm(x + relu(x @ hidden_weight + hidden_bias) @ feedforward_weight + feedforward_bias)."""
    columns = tl.arange(0, PADDED)
    start = entities * PADDED
    hidden = hidden_chunks * CHUNK
    everyone = tl.full(entities.shape, True, tl.int1)
    total = tl.zeros((entities.shape[0], PADDED), dtype=tl.float32)
    for chunk in range(hidden_chunks):
        at = chunk * CHUNK + tl.arange(0, CHUNK)
        inner = product(x, start, everyone, hidden_weight, hidden, at, PADDED // DEPTH, DEPTH)
        inner = tl.maximum(inner + tl.load(hidden_bias + at)[None, :], 0.0, propagate_nan=tl.PropagateNan.ALL)
        weight = tl.load(feedforward_weight + at[:, None] * PADDED + columns[None, :])
        total = tl.dot(inner, weight, total, input_precision="tf32x3")
    before = tl.load(x + start[:, None] + columns[None, :])
    after = before + total + tl.load(feedforward_bias + columns)[None, :]
    return norm(after, norm_weight, norm_bias, columns, width, epsilon)


@triton.jit
def token_table(
    structure,
    visual_tokens,
    visual_mask,
    text_tokens,
    text_mask,
    structure_norm_weight,
    structure_norm_bias,
    type_vector,
    logit_weight,
    pooled_logits,
    pooled_value,
    logits,
    values,
    value_weight,
    value_bias,
    output_weight,
    output_bias,
    pooled,
    norm1_weight,
    norm1_bias,
    hidden_weight,
    hidden_bias,
    feedforward_weight,
    feedforward_bias,
    norm2_weight,
    norm2_bias,
    vectors,
    attended,
    share,
    out,
    batch,
    width,
    heads,
    groups_per_head,
    num_visual_tokens,
    num_text_tokens,
    visual_rows,
    text_rows,
    hidden_chunks,
    epsilon,
    ROWS: tl.constexpr,
    ENTITIES: tl.constexpr,
    PADDED: tl.constexpr,
    CHUNK: tl.constexpr,
    DEPTH: tl.constexpr,
    GROUP: tl.constexpr,
):
    """Grid: (ceil(batch / ROWS),).

    Args:
        structure: float32 [batch, width].
        visual_tokens, text_tokens: int64 [batch, num_..._tokens]; visual_mask, text_mask: uint8 likewise, 0: counts.
        logit_weight: float32 [heads, PADDED].
        pooled_logits, pooled_value: float32 [heads], [PADDED] by group.
        logits, values: float32 [rows, heads], float32 or bfloat16 [rows, PADDED] by group; visual rows come first.
        value_weight, value_bias: float32 [PADDED, PADDED], [PADDED], columns by group.
        output_weight: float32 [PADDED, PADDED], rows by group.
        hidden_weight, feedforward_weight: float32 [PADDED, hidden], [hidden, PADDED]; hidden = hidden_chunks * CHUNK.
        hidden_bias: float32 [hidden].
        pooled, type_vector, norms and the other biases: float32 [PADDED], 0 beyond width.
        vectors, attended, share: float32 [rows, PADDED] twice and [rows, PADDED / GROUP], overwritten: what a block
            keeps for itself; rows = batch up to a multiple of ROWS.
        out: float32 [batch, width], written.
    """
    entities = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    inside = entities < batch
    columns = tl.arange(0, PADDED)
    for part in range(ROWS // ENTITIES):  # what all would hold in registers together spills
        some = tl.program_id(0) * ROWS + part * ENTITIES + tl.arange(0, ENTITIES)
        gather(
            structure,
            visual_tokens,
            visual_mask,
            text_tokens,
            text_mask,
            structure_norm_weight,
            structure_norm_bias,
            type_vector,
            logit_weight,
            pooled_logits,
            pooled_value,
            logits,
            values,
            vectors,
            attended,
            share,
            some,
            some < batch,
            width,
            heads,
            groups_per_head,
            num_visual_tokens,
            num_text_tokens,
            visual_rows,
            text_rows,
            epsilon,
            PADDED,
            GROUP,
        )
    tl.debug_barrier()  # what one thread wrote, others read
    x = _projected(
        vectors,
        attended,
        share,
        value_weight,
        value_bias,
        output_weight,
        output_bias,
        pooled,
        norm1_weight,
        norm1_bias,
        entities,
        width,
        epsilon,
        PADDED,
        CHUNK,
        DEPTH,
        GROUP,
    )
    tl.debug_barrier()  # s has been read: x takes its place
    tl.store(vectors + entities[:, None] * PADDED + columns[None, :], x)
    tl.debug_barrier()
    after = _fed_forward(
        vectors,
        hidden_weight,
        hidden_bias,
        feedforward_weight,
        feedforward_bias,
        norm2_weight,
        norm2_bias,
        entities,
        width,
        hidden_chunks,
        epsilon,
        PADDED,
        CHUNK,
        DEPTH,
    )
    place = entities[:, None] * width + columns[None, :]
    tl.store(out + place, after, mask=inside[:, None] & (columns < width)[None, :])


# Padded width -> name, rows, entities that gather together, columns of a chunk, depth of a product, and warps: the most
# that the registers of every target hold.
_TILES = {
    128: (("few", 16, 8, 16, 32, 4), ("many", 64, 16, 32, 16, 8)),
    256: (("few", 16, 8, 16, 16, 4), ("many", 32, 16, 32, 16, 8)),
    512: (("few", 16, 4, 16, 16, 8), ("many", 32, 4, 16, 16, 8)),
}
_ADDRESSES = (
    "structure structure_norm_weight structure_norm_bias type_vector logit_weight pooled_logits pooled_value logits "
    "values value_weight value_bias output_weight output_bias pooled norm1_weight norm1_bias hidden_weight hidden_bias "
    "feedforward_weight feedforward_bias norm2_weight norm2_bias vectors attended share out"
)
_COUNTS = "batch width heads groups_per_head num_visual_tokens num_text_tokens visual_rows text_rows hidden_chunks"
_SIGNATURE = (
    addresses(_ADDRESSES)
    | dict.fromkeys(("visual_tokens", "text_tokens"), "*i64")
    | dict.fromkeys(("visual_mask", "text_mask"), "*u8")
    | dict.fromkeys(_COUNTS.split(), "i32")
    | {"epsilon": "fp32"}
)

KERNELS = tuple(
    KernelSpec(
        f"token_table_{precision}_{padded}_{name}",
        token_table,
        _SIGNATURE | {"values": f"*{precision}"},
        {"ROWS": rows, "ENTITIES": entities, "PADDED": padded, "CHUNK": chunk, "DEPTH": depth, "GROUP": GROUP},
        warps,
        2,
    )
    for precision in ("fp32", "bf16")
    for padded, tiles in _TILES.items()
    for name, rows, entities, chunk, depth, warps in tiles
)
