"""Scores of mentions and entities by MIMIC's late interaction (include/mmkg_link.h), from the pieces of both.

Mentions are float32 [mentions, ...], entities float16 or float32 [entities, ...]; scores float32 [mentions, count].
Nothing of the size mentions x entities x length x length is stored, nor of mentions x entities x width.

    interaction_keys    of float16 entities only: each mention's keys as a sum of two float16 and a power of two
    interaction_text    the text unit: 16 entities and one mention a program, an entity's logits at a time in registers
    interaction_image   the image unit (two DUAL by Gram products) and the image_text unit

Rounding. Sums are float32. Logits of float16 entities are exact products of their queries and the keys, which are
rounded to a 2^-23 of the mention's largest; those of float32 entities are made of three products of TF32, good to about
2^-21 of |query| |key|. So is the mean attention times the values. Powers of two are the hardware's (2 units in the last
place). All else are float32 multiply-adds. A pair's scores come of the same operations in the same order wherever it
stands among the others.

None of this has ever run on a GPU. It is tested in Triton's interpreter, where a product of TF32 is one of float32, and
compiled for every target.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .specs import KernelSpec

ENTITIES = 16  # of a program of the text unit
TILE_MENTIONS, TILE_ENTITIES = 16, 32  # of the others
CHUNK = tl.constexpr(32)  # coordinates that are read at a time
ROWS = tl.constexpr(32)  # positions of an entity whose logits are there at a time
LENGTHS = (64, 128)  # of texts at most, by kernel


@triton.jit
def _row_of(candidates, places, listed):
    """The entity at a place among the `listed` candidates; the place itself where that is 0: all entities are."""
    chosen = tl.load(candidates + places, mask=places < listed, other=0)
    return tl.where(listed != 0, chosen, places)


@triton.jit
def _part(pieces, rows, column, width):
    """float32 [rows, CHUNK] of pieces [any, width] from column[0] on; zeros past the end, and for row -1."""
    mask = (column < width)[None, :] & (rows >= 0)[:, None]
    return tl.load(pieces + rows[:, None] * width + column[None, :], mask=mask, other=0.0).to(tl.float32)


@triton.jit
def _is_wrong(score, inside):
    """Whether a score that is asked for is NaN or infinite, int32 scalar of any shape."""
    wrong = (inside & ((score == score) & (tl.abs(score) < float("inf")) == 0)).to(tl.int32)
    return tl.max(tl.reshape(wrong, (wrong.numel,)), axis=0)


@triton.jit
def interaction_keys(keys, high, low, units, length, width, padded, LENGTH: tl.constexpr):
    """Keys of mentions as a power of two times high + low; units have log2(e) in them, too. Grid: mentions.

    Args:
        keys: float32 [mentions, length, width].
        high, low: float16 [mentions, LENGTH, padded], written, zeros past the end; padded is a multiple of 32.
        units: float32 [mentions], written.
    """
    mention = tl.program_id(0).to(tl.int64)
    row = tl.arange(0, LENGTH)
    rows = tl.where(row < length, mention * length + row, -1)
    most = tl.zeros((LENGTH, CHUNK), dtype=tl.float32)
    for start in range(0, padded, CHUNK):
        key = _part(keys, rows, start + tl.arange(0, CHUNK), width)
        most = tl.maximum(most, tl.abs(key))
    # The power of two below the largest; 1 where that is 0 or too small to be divided by.
    exponent = tl.max(tl.max(most, axis=1), axis=0).to(tl.uint32, bitcast=True) & 0x7F800000
    unit = tl.where((exponent > 0x00800000) & (exponent < 0x7F000000), exponent, 0x3F800000)
    unit = unit.to(tl.uint32).to(tl.float32, bitcast=True)
    tl.store(units + mention, unit * 1.4426950408889634)  # log2(e)
    for start in range(0, padded, CHUNK):
        column = start + tl.arange(0, CHUNK)
        key = _part(keys, rows, column, width) / unit
        above = key.to(tl.float16)
        to = (mention * LENGTH + row)[:, None] * padded + column[None, :]
        tl.store(high + to, above)
        tl.store(low + to, (key - above.to(tl.float32)).to(tl.float16))


@triton.jit
def _attention(
    queries,
    keys,
    high,
    low,
    units,
    mention,
    entity,
    length,
    width,
    padded,
    LENGTH: tl.constexpr,
    HALF: tl.constexpr,
):
    """Mean over an entity's positions of the softmax over the mention's, float32 [LENGTH], zeros past the end."""
    key_row = tl.arange(0, LENGTH)
    mean = tl.zeros((LENGTH,), dtype=tl.float32)
    for first in range(0, length, ROWS):
        row = first + tl.arange(0, ROWS)
        logits = tl.zeros((ROWS, LENGTH), dtype=tl.float32)
        for start in range(0, padded, CHUNK):
            column = start + tl.arange(0, CHUNK)
            mask = (row < length)[:, None] & (column < width)[None, :]
            query = tl.load(queries + (entity * length + row)[:, None] * width + column[None, :], mask=mask, other=0.0)
            if HALF:
                at = (mention * LENGTH + key_row)[None, :] * padded + column[:, None]
                logits = tl.dot(query, tl.load(high + at), logits)
                logits = tl.dot(query, tl.load(low + at), logits)
            else:
                at = (mention * length + key_row)[None, :] * width + column[:, None]
                mask = (key_row < length)[None, :] & (column < width)[:, None]
                logits = tl.dot(query, tl.load(keys + at, mask=mask, other=0.0), logits, input_precision="tf32x3")
        if HALF:
            logits *= tl.load(units + mention)
        else:
            logits *= 1.4426950408889634  # log2(e)
        logits = tl.where((key_row < length)[None, :], logits, float("-inf"))
        power = tl.exp2(logits - tl.max(logits, axis=1)[:, None])
        share = tl.where(row < length, 1.0 / (tl.sum(power, axis=1) * length), 0.0)
        mean += tl.sum(power * share[:, None], axis=0)
    return mean


@triton.jit
def interaction_text(
    keys,
    high,
    low,
    units,
    values,
    text,
    queries,
    cls,
    entity_text,
    candidates,
    context_weight,
    context_bias,
    scores,
    wrong,
    mentions,
    count,
    listed,
    length,
    width,
    padded,
    text_width,
    epsilon,
    ENTITIES: tl.constexpr,
    LENGTH: tl.constexpr,
    HALF: tl.constexpr,
):
    """scores float32 [mentions, count] of the text unit. Grid: mentions * parts of count, mentions first.

    Args:
        keys, high, low, units: of mentions; without HALF the first is read, else the others, see interaction_keys.
        values, text: of mentions; queries, cls, entity_text: of entities; see mmkg_link.h.
        candidates: int64 [listed], rows of the entities; not read if `listed` is 0, then they are all.
        wrong: int32 [1], set to 1 if a score is NaN or infinite.
        padded: width rounded up to 32.
    """
    # Mentions first: programs that run together have the same entities, which then come out of the cache.
    mention = (tl.program_id(0) % mentions).to(tl.int64)
    first = (tl.program_id(0) // mentions).to(tl.int64) * ENTITIES
    row = tl.arange(0, LENGTH)
    value_rows = tl.where(row < length, mention * length + row, -1)
    item = tl.arange(0, ENTITIES)
    attention = tl.zeros((ENTITIES, LENGTH), dtype=tl.float32)
    for at in range(ENTITIES):
        entity = _row_of(candidates, tl.minimum(first + at, count - 1), listed)
        mean = _attention(queries, keys, high, low, units, mention, entity, length, width, padded, LENGTH, HALF)
        attention = tl.where((item == at)[:, None], mean[None, :], attention)
    entities = _row_of(candidates, tl.minimum(first + item, count - 1), listed)
    # The context, attention times values, is cheap next to the logits: it is made again once its mean is known.
    total = tl.zeros((ENTITIES,), dtype=tl.float32)
    for start in range(0, padded, CHUNK):
        value = _part(values, value_rows, start + tl.arange(0, CHUNK), width)
        total += tl.sum(tl.dot(attention, value, input_precision="tf32x3"), axis=1)
    mean = (total / width)[:, None]
    square, weighted, biases = tl.zeros_like(total), tl.zeros_like(total), tl.zeros_like(total)
    for start in range(0, padded, CHUNK):
        column = start + tl.arange(0, CHUNK)
        inside = column < width
        value = _part(values, value_rows, column, width)
        centred = tl.where(inside[None, :], tl.dot(attention, value, input_precision="tf32x3") - mean, 0.0)
        own = _part(cls, entities, column, width)
        square += tl.sum(centred * centred, axis=1)
        weighted += tl.sum(centred * own * tl.load(context_weight + column, mask=inside, other=0.0)[None, :], axis=1)
        biases += tl.sum(own * tl.load(context_bias + column, mask=inside, other=0.0)[None, :], axis=1)
    local = weighted / tl.sqrt_rn(square / width + epsilon) + biases
    product = tl.zeros((ENTITIES,), dtype=tl.float32)
    for start in range(0, text_width, CHUNK):
        column = start + tl.arange(0, CHUNK)
        mine = tl.load(text + mention * text_width + column, mask=column < text_width, other=0.0)
        product += tl.sum(_part(entity_text, entities, column, text_width) * mine[None, :], axis=1)
    score = (local + product) * 0.5
    inside = first + item < count
    tl.store(scores + mention * count + first + item, score, mask=inside)
    if _is_wrong(score, inside) != 0:
        tl.store(wrong, 1)


@triton.jit
def _tanh(x):
    """tanh to 3e-7 of itself, as the library for the CPU has it. Near 0 the polynomial of Cephes (S. Moshier)."""
    square = x * x
    near = tl.fma(square, -5.70498872745e-3, 2.06390887954e-2)
    near = tl.fma(near, square, -5.37397155531e-2)
    near = tl.fma(near, square, 1.33314422036e-1)
    near = tl.fma(near, square, -3.33332819422e-1)
    near = tl.fma(near * square, x, x)
    power = tl.exp2(tl.clamp(x, -10.0, 10.0, propagate_nan=tl.PropagateNan.ALL) * 2.8853900817779268)
    return tl.where(square < 0.390625, near, 1.0 - 2.0 / (power + 1.0))


@triton.jit
def _inverse_root(square, epsilon):
    return 1.0 / tl.sqrt_rn(tl.maximum(square, 0.0, propagate_nan=tl.PropagateNan.ALL) + epsilon)


@triton.jit
def _gram(a, b, total):
    return tl.dot(a, tl.trans(b), total, input_precision="ieee")


@triton.jit
def _dual(
    keys,
    key_rows,
    queries,
    query_rows,
    to_gate,
    context,
    scale,
    shift,
    gate_offset,
    context_square,
    width,
    epsilon,
    KEYS: tl.constexpr,
    QUERIES: tl.constexpr,
):
    """DUAL of every key with every query, float32 [KEYS, QUERIES]: its lengths and products as sums of parts.

    keys are z, a, k and queries q, c, h, [any, 3, width] each.
    """
    zq = tl.zeros((KEYS, QUERIES), dtype=tl.float32)
    ac, aw, kc, kw = zq, zq, zq, zq
    zz = tl.zeros((KEYS,), dtype=tl.float32)
    aa, kk, ak, z_gate, a_context, k_context = zz, zz, zz, zz, zz, zz
    qq = tl.zeros((QUERIES,), dtype=tl.float32)
    cc, cw, q_gate, c_context, w_context, shifted = qq, qq, qq, qq, qq, qq
    for start in range(0, width, CHUNK):
        column = start + tl.arange(0, CHUNK)
        inside = column < width
        gate = tl.load(to_gate + column, mask=inside, other=0.0)[None, :]
        middle = tl.load(context + column, mask=inside, other=0.0)[None, :]
        z = _part(keys, 3 * key_rows, column, width)
        a = _part(keys, 3 * key_rows + 1, column, width)
        k = _part(keys, 3 * key_rows + 2, column, width)
        q = _part(queries, 3 * query_rows, column, width)
        c = _part(queries, 3 * query_rows + 1, column, width)
        h = _part(queries, 3 * query_rows + 2, column, width)
        w = h * tl.load(scale + column, mask=inside, other=0.0)[None, :]
        zq, ac, aw, kc, kw = _gram(z, q, zq), _gram(a, c, ac), _gram(a, w, aw), _gram(k, c, kc), _gram(k, w, kw)
        zz += tl.sum(z * z, axis=1)
        aa += tl.sum(a * a, axis=1)
        kk += tl.sum(k * k, axis=1)
        ak += tl.sum(a * k, axis=1)
        z_gate += tl.sum(z * gate, axis=1)
        a_context += tl.sum(a * middle, axis=1)
        k_context += tl.sum(k * middle, axis=1)
        qq += tl.sum(q * q, axis=1)
        cc += tl.sum(c * c, axis=1)
        cw += tl.sum(c * w, axis=1)
        q_gate += tl.sum(q * gate, axis=1)
        c_context += tl.sum(c * middle, axis=1)
        w_context += tl.sum(w * middle, axis=1)
        shifted += tl.sum(h * tl.load(shift + column, mask=inside, other=0.0)[None, :], axis=1)
    r = _inverse_root(zz[:, None] + qq[None, :] + 2.0 * zq, epsilon)
    t = _tanh(tl.fma(r, z_gate[:, None] + q_gate[None, :], gate_offset + tl.zeros_like(r)))
    s = t * r
    inner = s * (aw + cw[None, :]) + t * w_context[None, :] + kw
    mapped = aa[:, None] + cc[None, :] + 2.0 * ac
    mixed = kc + ak[:, None] + t * (a_context[:, None] + c_context[None, :])
    square = s * (s * mapped + 2.0 * mixed) + t * (t * context_square + 2.0 * k_context[:, None]) + kk[:, None]
    return inner * _inverse_root(square, epsilon) + shifted[None, :]


@triton.jit
def interaction_image(
    dual_key,
    dual_query,
    fused,
    entity_dual_query,
    entity_dual_key,
    entity_fused,
    candidates,
    entity_gate,
    entity_context,
    entity_scale,
    entity_shift,
    mention_gate,
    mention_context,
    mention_scale,
    mention_shift,
    image,
    image_text,
    wrong,
    mentions,
    count,
    listed,
    width,
    fused_width,
    epsilon,
    entity_gate_offset,
    entity_context_square,
    mention_gate_offset,
    mention_context_square,
    MENTIONS: tl.constexpr,
    ENTITIES: tl.constexpr,
):
    """image and image_text, float32 [mentions, count]. Grid: mention tiles * entity tiles, mentions first.

    Args:
        dual_key, dual_query, fused: of mentions; entity_...: of entities; see mmkg_link.h.
        entity_gate to entity_shift: weights of by_entity; mention_...: of by_mention.
        candidates, wrong: as for interaction_text.
    """
    tiles = tl.cdiv(mentions, MENTIONS)
    mention = tl.program_id(0) % tiles * MENTIONS + tl.arange(0, MENTIONS)
    mention_rows = tl.minimum(mention, mentions - 1).to(tl.int64)
    place = (tl.program_id(0) // tiles).to(tl.int64) * ENTITIES + tl.arange(0, ENTITIES)
    entities = _row_of(candidates, tl.minimum(place, count - 1), listed)
    by_entity = _dual(
        dual_key,
        mention_rows,
        entity_dual_query,
        entities,
        entity_gate,
        entity_context,
        entity_scale,
        entity_shift,
        entity_gate_offset,
        entity_context_square,
        width,
        epsilon,
        MENTIONS,
        ENTITIES,
    )
    by_mention = _dual(
        entity_dual_key,
        entities,
        dual_query,
        mention_rows,
        mention_gate,
        mention_context,
        mention_scale,
        mention_shift,
        mention_gate_offset,
        mention_context_square,
        width,
        epsilon,
        ENTITIES,
        MENTIONS,
    )
    score = (by_entity + tl.trans(by_mention)) * 0.5
    product = tl.zeros((MENTIONS, ENTITIES), dtype=tl.float32)
    for start in range(0, fused_width, CHUNK):
        column = start + tl.arange(0, CHUNK)
        mine = _part(fused, mention_rows, column, fused_width)
        product = _gram(mine, _part(entity_fused, entities, column, fused_width), product)
    inside = (mention < mentions)[:, None] & (place < count)[None, :]
    to = mention_rows[:, None] * count + place[None, :]
    tl.store(image + to, score, mask=inside)
    tl.store(image_text + to, product, mask=inside)
    if _is_wrong(score, inside) + _is_wrong(product, inside) != 0:
        tl.store(wrong, 1)


_STORED = {"half": "*fp16", "single": "*fp32"}
_END = {"wrong": "*i32"}


def _text(stored: str, length: int) -> KernelSpec:
    entity = _STORED[stored]
    floats = ("keys", "units", "values", "text", "context_weight", "context_bias", "scores")
    return KernelSpec(
        f"interaction_text_{stored}_{length}",
        interaction_text,
        dict.fromkeys(floats, "*fp32")
        | {"high": "*fp16", "low": "*fp16", "queries": entity, "cls": entity, "entity_text": entity}
        | {"candidates": "*i64", "wrong": "*i32", "count": "i64", "listed": "i64", "epsilon": "fp32"}
        | dict.fromkeys(("mentions", "length", "width", "padded", "text_width"), "i32"),
        {"ENTITIES": ENTITIES, "LENGTH": length, "HALF": stored == "half"},
        num_warps=8,
        num_stages=1,
    )


def _image(stored: str) -> KernelSpec:
    vectors = [f"{side}_{name}" for side in ("entity", "mention") for name in ("gate", "context", "scale", "shift")]
    numbers = [f"{side}_{name}" for side in ("entity", "mention") for name in ("gate_offset", "context_square")]
    pieces = ("dual_key", "dual_query", "fused")
    return KernelSpec(
        f"interaction_image_{stored}",
        interaction_image,
        dict.fromkeys((*pieces, *vectors, "image", "image_text"), "*fp32")
        | dict.fromkeys((f"entity_{name}" for name in pieces), _STORED[stored])
        | {"candidates": "*i64", "wrong": "*i32", "count": "i64", "listed": "i64"}
        | dict.fromkeys((*numbers, "epsilon"), "fp32")
        | dict.fromkeys(("mentions", "width", "fused_width"), "i32"),
        {"MENTIONS": TILE_MENTIONS, "ENTITIES": TILE_ENTITIES},
        num_warps=8,
        num_stages=1,
    )


KERNELS = (
    *(
        KernelSpec(
            f"interaction_keys_{length}",
            interaction_keys,
            {"keys": "*fp32", "high": "*fp16", "low": "*fp16", "units": "*fp32"}
            | dict.fromkeys(("length", "width", "padded"), "i32"),
            {"LENGTH": length},
            num_warps=8,
            num_stages=1,
        )
        for length in LENGTHS
    ),
    *(_text(stored, length) for stored in _STORED for length in LENGTHS),
    *(_image(stored) for stored in _STORED),
)
