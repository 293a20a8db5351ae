"""The token-table encoder, include/mmkg_encoder.h, as three kernels.

  token_table_gather    structure and tokens of an entity -> s, what its heads make of all but its own value, and the
                        share of that value: a gather and an online softmax, bound by memory
  token_table_project   own value, output projection, first norm
  feed_forward          of layer.py: feed-forward, second norm

What goes from one to the next are three vectors an entity, which stay in the cache; what one kernel for it all would
keep in registers leaves too few threads to hide the gather.

A head has width / heads columns, here padded with zeros to groups of GROUP columns, so a group belongs to one head.
Columns are padded to PADDED = a power of 2 that holds all groups and the width.

Tokens count in their order and a masked one adds exactly nothing, so the vector of an entity does not depend on the
padding of its sequence.

Compiled for every target and tried in Triton's interpreter; never run on a GPU.
"""

import triton
import triton.language as tl

from .layer import DEPTH, PADDED_WIDTHS, addresses, norm, product, tiles
from .specs import KernelSpec

GROUP = 64


@triton.jit
def _attend(
    attended,
    total,
    largest,
    tokens,
    mask,
    first_row,
    num_rows,
    num_tokens,
    logits,
    values,
    heads,
    head,
    entities,
    inside,
    GROUPS: tl.constexpr,
    GROUP: tl.constexpr,
):
    """Adds the tokens of one modality to an online softmax: attended and total are multiples of exp(-largest)."""
    place = tl.arange(0, GROUPS)[:, None] * GROUP + tl.arange(0, GROUP)[None, :]
    for t in range(num_tokens):
        at = entities.to(tl.int64) * num_tokens + t
        token = tl.load(tokens + at, mask=inside, other=0)
        live = inside & (tl.load(mask + at, mask=inside, other=1) == 0)
        known = live & (token >= 0) & (token < num_rows)
        row = first_row + tl.where(known, token, 0)
        logit = tl.load(logits + row[:, None] * heads + head[None, :], mask=known[:, None], other=float("-inf"))
        # A token that is no row is never read, and makes its entity NaN.
        logit = tl.where((live & (known == 0))[:, None], float("nan"), logit)
        value = tl.load(
            values + row[:, None, None] * (GROUPS * GROUP) + place[None, :, :], mask=known[:, None, None], other=0.0
        ).to(tl.float32)
        larger = tl.maximum(largest, logit)
        shrink = tl.exp(largest - larger)
        share = tl.exp(logit - larger)
        total = total * shrink + share
        attended = attended * shrink[:, :, None] + share[:, :, None] * value
        largest = larger
    return attended, total, largest


@triton.jit
def token_table_gather(
    structure,
    visual_tokens,
    visual_mask,
    text_tokens,
    text_mask,
    norm_weight,
    norm_bias,
    type_vector,
    logit_weight,
    pooled_logits,
    pooled_value,
    logits,
    values,
    own,
    attended,
    share,
    batch,
    width,
    heads,
    groups_per_head,
    num_visual_tokens,
    num_text_tokens,
    visual_rows,
    text_rows,
    epsilon,
    ENTITIES: tl.constexpr,
    PADDED: tl.constexpr,
    GROUP: tl.constexpr,
):
    """Grid: (ceil(batch / ENTITIES),). GROUPS = PADDED / GROUP.

    Args:
        structure: float32 [batch, width].
        visual_tokens, text_tokens: int64 [batch, num_..._tokens]; visual_mask, text_mask: uint8 likewise, 0: counts.
        norm_weight, norm_bias, type_vector: float32 [PADDED].
        logit_weight: float32 [heads, PADDED].
        pooled_logits, pooled_value: float32 [heads], [PADDED] by group.
        logits, values: float32 [rows, heads], float32 or bfloat16 [rows, PADDED] by group; visual rows come first.
        own: float32 [batch, PADDED], written: s.
        attended: float32 [batch, PADDED], written, by group: the weighted sum without the own value.
        share: float32 [batch, GROUPS], written: the weight of the own value.
    """
    GROUPS: tl.constexpr = PADDED // GROUP
    entities = tl.program_id(0) * ENTITIES + tl.arange(0, ENTITIES)
    inside = entities < batch
    columns = tl.arange(0, PADDED)
    groups = tl.arange(0, GROUPS)
    head = tl.minimum(groups // groups_per_head, heads - 1)

    known = inside[:, None] & (columns < width)[None, :]
    s = tl.load(structure + entities[:, None] * width + columns[None, :], mask=known, other=0.0)
    s = norm(s, norm_weight, norm_bias, columns, width, epsilon) + tl.load(type_vector + columns)[None, :]
    tl.store(own + entities[:, None] * PADDED + columns[None, :], s, mask=inside[:, None])

    own_logit = tl.zeros((ENTITIES, GROUPS), dtype=tl.float32)
    for group in tl.static_range(GROUPS):
        weight = tl.load(logit_weight + tl.minimum(group // groups_per_head, heads - 1) * PADDED + columns)
        own_logit = tl.where((groups == group)[None, :], tl.sum(s * weight[None, :], axis=1)[:, None], own_logit)
    pooled_logit = tl.broadcast_to(tl.load(pooled_logits + head)[None, :], (ENTITIES, GROUPS))
    start = tl.maximum(own_logit, pooled_logit)
    pooled_share = tl.exp(pooled_logit - start)
    value = tl.reshape(tl.load(pooled_value + columns), (GROUPS, GROUP))
    state = pooled_share[:, :, None] * value[None, :, :]
    total = pooled_share + tl.exp(own_logit - start)
    state, total, largest = _attend(
        state,
        total,
        start,
        visual_tokens,
        visual_mask,
        0,
        visual_rows,
        num_visual_tokens,
        logits,
        values,
        heads,
        head,
        entities,
        inside,
        GROUPS,
        GROUP,
    )
    state, total, largest = _attend(
        state,
        total,
        largest,
        text_tokens,
        text_mask,
        visual_rows,
        text_rows,
        num_text_tokens,
        logits,
        values,
        heads,
        head,
        entities,
        inside,
        GROUPS,
        GROUP,
    )
    place = groups[:, None] * GROUP + tl.arange(0, GROUP)[None, :]
    tl.store(
        attended + entities[:, None, None] * PADDED + place[None, :, :],
        state / total[:, :, None],
        mask=inside[:, None, None],
    )
    tl.store(
        share + entities[:, None] * GROUPS + groups[None, :], tl.exp(own_logit - largest) / total, mask=inside[:, None]
    )


@triton.jit
def token_table_project(
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
    out,
    batch,
    width,
    epsilon,
    ROWS: tl.constexpr,
    PADDED: tl.constexpr,
    CHUNK: tl.constexpr,
    DEPTH: tl.constexpr,
    GROUP: tl.constexpr,
):
    """out = norm(pooled + (attended + share * (own @ value_weight + value_bias)) @ output_weight + output_bias).

    Grid: (ceil(batch / ROWS),).

    Args:
        own, attended, share: as token_table_gather writes them.
        value_weight, value_bias: float32 [PADDED, PADDED], [PADDED], columns by group.
        output_weight: float32 [PADDED, PADDED], rows by group.
        output_bias, pooled, norm_weight, norm_bias: float32 [PADDED].
        out: float32 [batch, PADDED], written.
    """
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    columns = tl.arange(0, PADDED)
    inside = rows < batch
    start = rows * PADDED
    total = tl.zeros((ROWS, PADDED), dtype=tl.float32)
    for chunk in range(PADDED // CHUNK):
        at = chunk * CHUNK + tl.arange(0, CHUNK)
        value = product(own, start, inside, value_weight, PADDED, at, PADDED // DEPTH, DEPTH)
        value += tl.load(value_bias + at)[None, :]
        weight = tl.load(share + rows * (PADDED // GROUP) + chunk * CHUNK // GROUP, mask=inside, other=0.0)
        context = tl.load(attended + start[:, None] + at[None, :], mask=inside[:, None], other=0.0)
        context += weight[:, None] * value
        below = tl.load(output_weight + at[:, None] * PADDED + columns[None, :])
        total = tl.dot(context, below, total, input_precision="tf32x3")
    x = tl.load(pooled + columns)[None, :] + total + tl.load(output_bias + columns)[None, :]
    x = norm(x, norm_weight, norm_bias, columns, width, epsilon)
    tl.store(out + start[:, None] + columns[None, :], x, mask=inside[:, None])


_GATHER = (
    {"structure": "*fp32", "visual_tokens": "*i64", "visual_mask": "*u8", "text_tokens": "*i64", "text_mask": "*u8"}
    | addresses("norm_weight norm_bias type_vector logit_weight pooled_logits pooled_value logits values")
    | addresses("own attended share")
    | dict.fromkeys(("batch", "width", "heads", "groups_per_head", "num_visual_tokens", "num_text_tokens"), "i32")
    | {"visual_rows": "i32", "text_rows": "i32", "epsilon": "fp32"}
)
_PROJECT = (
    addresses("own attended share value_weight value_bias output_weight output_bias pooled norm_weight norm_bias out")
) | {"batch": "i32", "width": "i32", "epsilon": "fp32"}

KERNELS = (
    *(
        KernelSpec(
            f"token_table_gather_{precision}_{padded}",
            token_table_gather,
            _GATHER | {"values": f"*{precision}"},
            {"ENTITIES": 1024 // padded, "PADDED": padded, "GROUP": GROUP},
            4,
            2,
        )
        for precision in ("fp32", "bf16")
        for padded in PADDED_WIDTHS
    ),
    *(
        KernelSpec(
            f"token_table_project_{padded}_{name}",
            token_table_project,
            _PROJECT,
            {"ROWS": rows, "PADDED": padded, "CHUNK": chunk, "DEPTH": DEPTH, "GROUP": GROUP},
            warps,
            2,
        )
        for padded in PADDED_WIDTHS
        for name, rows, chunk, warps in tiles(padded)
    ),
)
