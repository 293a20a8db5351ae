"""The text unit of MIMIC's late interaction (include/mmkg_link.h), from the pieces of mentions and entities.

Mentions are float32 [mentions, ...], entities float16 or float32 [entities, ...]; scores float32 [mentions, count].
Nothing of the size mentions x entities x length x length is stored, nor of mentions x entities x width.

    interaction_keys    each mention's keys, padded; for float16 entities as a sum of two float16 times a power of two
    interaction_text    16 entities and one mention a program, the logits of some of an entity's positions at a time
    interaction_image   the other two units (interaction_image.py)

Rounding. Sums are float32. Logits of float16 entities are exact products of their queries and the keys, which are
rounded to a 2^-23 of the mention's largest; those of float32 entities are made of three products of TF32, good to about
2^-21 of |query| |key|. So is the mean attention times the values. Powers of two and quotients are the hardware's (2
units in the last place); all else are float32 multiply-adds. A pair's scores come of the same operations in the same
order wherever it stands among the others.

None of this has ever run on a GPU. It is tested in Triton's interpreter, where a product of TF32 is one of float32, and
compiled for every target.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .specs import KernelSpec

ENTITIES = 16  # of a program of the text unit
CHUNK = tl.constexpr(32)  # coordinates that are read at a time
ROWS = tl.constexpr(32)  # positions of an entity whose logits are there at a time
LENGTHS = (64, 128)  # of texts at most, by kernel


@triton.jit
def row_of(candidates, places, listed):
    """The entity at a place among the `listed` candidates; the place itself where that is 0: all entities are."""
    chosen = tl.load(candidates + places, mask=places < listed, other=0)
    return tl.where(listed != 0, chosen, places)


@triton.jit
def part_of(pieces, rows, column, width):
    """float32 [rows, CHUNK] of pieces [any, width] from column[0] on; zeros past the end, and for row -1."""
    mask = (column < width)[None, :] & (rows >= 0)[:, None]
    return tl.load(pieces + rows[:, None] * width + column[None, :], mask=mask, other=0.0).to(tl.float32)


@triton.jit
def is_wrong(score, inside):
    """Whether a score that is asked for is NaN or infinite, int32 scalar of any shape."""
    wrong = (inside & ((score == score) & (tl.abs(score) < float("inf")) == 0)).to(tl.int32)
    return tl.max(tl.reshape(wrong, (wrong.numel,)), axis=0)


@triton.jit
def padded_width(width):
    """Rounded up to CHUNK: made here and not given, so that Triton knows it and loads 16 bytes at once."""
    return tl.cdiv(width, CHUNK) * CHUNK


@triton.jit
def interaction_keys(keys, high, low, units, length, width, LENGTH: tl.constexpr, HALF: tl.constexpr):
    """Keys of mentions for `_attention`: zeros past the end, and with HALF as a power of two times high + low.

    Grid: mentions.

    Args:
        keys: float32 [mentions, length, width].
        high: float16 with HALF, else float32 [mentions, LENGTH, padded_width(width)], written.
        low: float16, as high, written with HALF.
        units: float32 [mentions], written: what products with high + low are multiplied with to be exponents of 2.
    """
    padded = padded_width(width)
    mention = tl.program_id(0).to(tl.int64)
    row = tl.arange(0, LENGTH)
    rows = tl.where(row < length, mention * length + row, -1)
    exponent = tl.full((), 0x3F800000, tl.uint32)  # of 1
    if HALF:
        most = tl.zeros((LENGTH, CHUNK), dtype=tl.float32)
        for start in range(0, padded, CHUNK):
            most = tl.maximum(most, tl.abs(part_of(keys, rows, start + tl.arange(0, CHUNK), width)))
        # The power of two below the largest; 1 where that is 0, or too far out for its inverse.
        largest = tl.max(tl.max(most, axis=1), axis=0).to(tl.uint32, bitcast=True) & 0x7F800000
        exponent = tl.where((largest > 0x00800000) & (largest < 0x7E000000), largest, exponent).to(tl.uint32)
    unit = exponent.to(tl.float32, bitcast=True)
    inverse = (0x7F000000 - exponent).to(tl.uint32).to(tl.float32, bitcast=True)  # a division may err on a GPU
    tl.store(units + mention, unit * 1.4426950408889634)  # log2(e)
    for start in range(0, padded, CHUNK):
        column = start + tl.arange(0, CHUNK)
        key = part_of(keys, rows, column, width)
        to = (mention * LENGTH + row)[:, None] * padded + column[None, :]
        if HALF:
            key = key * inverse
            above = key.to(tl.float16)
            tl.store(high + to, above)
            tl.store(low + to, (key - above.to(tl.float32)).to(tl.float16))
        else:
            tl.store(high + to, key)


@triton.jit
def _attention(queries, high, low, units, mention, entity, length, padded, LENGTH: tl.constexpr, HALF: tl.constexpr):
    """Mean over an entity's positions of the softmax over the mention's, float32 [LENGTH], zeros past the end."""
    key_row = tl.arange(0, LENGTH)
    mean = tl.zeros((LENGTH,), dtype=tl.float32)
    for first in range(0, length, ROWS):
        row = first + tl.arange(0, ROWS)
        logits = tl.zeros((ROWS, LENGTH), dtype=tl.float32)
        for start in range(0, padded, CHUNK):
            column = start + tl.arange(0, CHUNK)
            from_queries = (entity * length + row)[:, None] * padded + column[None, :]
            query = tl.load(queries + from_queries, mask=(row < length)[:, None], other=0.0)
            from_keys = (mention * LENGTH + key_row)[None, :] * padded + column[:, None]
            if HALF:
                logits = tl.dot(query, tl.load(high + from_keys), logits)
                logits = tl.dot(query, tl.load(low + from_keys), logits)
            else:
                logits = tl.dot(query, tl.load(high + from_keys), logits, input_precision="tf32x3")
        logits = tl.where((key_row < length)[None, :], logits * tl.load(units + mention), float("-inf"))
        power = tl.exp2(logits - tl.max(logits, axis=1)[:, None])
        share = tl.where(row < length, 1.0 / (tl.sum(power, axis=1) * length), 0.0)
        mean += tl.sum(power * share[:, None], axis=0)
    return mean


@triton.jit
def interaction_text(
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
    text_width,
    epsilon,
    ENTITIES: tl.constexpr,
    LENGTH: tl.constexpr,
    HALF: tl.constexpr,
):
    """scores float32 [mentions, count] of the text unit. Grid: mentions * parts of count, mentions first.

    Args:
        high, low, units: of interaction_keys.
        values, text: of mentions; cls, entity_text: of entities; see mmkg_link.h.
        queries: of entities, [entities, length, padded_width(width)], zeros past the width.
        candidates: int64 [listed], rows of the entities; not read if `listed` is 0, then they are all.
        wrong: int32 [1], set to 1 if a score is NaN or infinite.
    """
    padded = padded_width(width)
    # Mentions first: programs that run together have the same entities, which then come out of the cache.
    mention = (tl.program_id(0) % mentions).to(tl.int64)
    first = (tl.program_id(0) // mentions).to(tl.int64) * ENTITIES
    row = tl.arange(0, LENGTH)
    value_rows = tl.where(row < length, mention * length + row, -1)
    item = tl.arange(0, ENTITIES)
    attention = tl.zeros((ENTITIES, LENGTH), dtype=tl.float32)
    for at in range(ENTITIES):
        entity = row_of(candidates, tl.minimum(first + at, count - 1), listed)
        mean = _attention(queries, high, low, units, mention, entity, length, padded, LENGTH, HALF)
        attention = tl.where((item == at)[:, None], mean[None, :], attention)
    entities = row_of(candidates, tl.minimum(first + item, count - 1), listed)
    # The context, attention times values, is cheap next to the logits: it is made again once its mean is known.
    total = tl.zeros((ENTITIES,), dtype=tl.float32)
    for start in range(0, padded, CHUNK):
        value = part_of(values, value_rows, start + tl.arange(0, CHUNK), width)
        total += tl.sum(tl.dot(attention, value, input_precision="tf32x3"), axis=1)
    mean = (total / width)[:, None]
    square, weighted, biases = tl.zeros_like(total), tl.zeros_like(total), tl.zeros_like(total)
    for start in range(0, padded, CHUNK):
        column = start + tl.arange(0, CHUNK)
        inside = column < width
        value = part_of(values, value_rows, column, width)
        centred = tl.where(inside[None, :], tl.dot(attention, value, input_precision="tf32x3") - mean, 0.0)
        own = part_of(cls, entities, column, width)
        square += tl.sum(centred * centred, axis=1)
        weighted += tl.sum(centred * own * tl.load(context_weight + column, mask=inside, other=0.0)[None, :], axis=1)
        biases += tl.sum(own * tl.load(context_bias + column, mask=inside, other=0.0)[None, :], axis=1)
    local = weighted / tl.sqrt_rn(square / width + epsilon) + biases
    product = tl.zeros((ENTITIES,), dtype=tl.float32)
    for start in range(0, text_width, CHUNK):
        column = start + tl.arange(0, CHUNK)
        mine = tl.load(text + mention * text_width + column, mask=column < text_width, other=0.0)
        product += tl.sum(part_of(entity_text, entities, column, text_width) * mine[None, :], axis=1)
    score = (local + product) * 0.5
    inside = first + item < count
    tl.store(scores + mention * count + first + item, score, mask=inside)
    if is_wrong(score, inside) != 0:
        tl.store(wrong, 1)


STORED = {"half": "*fp16", "single": "*fp32"}


def _text(stored: str, length: int) -> KernelSpec:
    entity = STORED[stored]
    floats = ("units", "values", "text", "context_weight", "context_bias", "scores")
    return KernelSpec(
        f"interaction_text_{stored}_{length}",
        interaction_text,
        dict.fromkeys(floats, "*fp32")
        | {"high": entity, "low": "*fp16", "queries": entity, "cls": entity, "entity_text": entity}
        | {"candidates": "*i64", "wrong": "*i32", "count": "i64", "listed": "i64", "epsilon": "fp32"}
        | dict.fromkeys(("mentions", "length", "width", "text_width"), "i32"),
        {"ENTITIES": ENTITIES, "LENGTH": length, "HALF": stored == "half"},
        num_warps=8,
        num_stages=1,
    )


def _keys(stored: str, length: int) -> KernelSpec:
    return KernelSpec(
        f"interaction_keys_{stored}_{length}",
        interaction_keys,
        {"keys": "*fp32", "high": STORED[stored], "low": "*fp16", "units": "*fp32"}
        | dict.fromkeys(("length", "width"), "i32"),
        {"LENGTH": length, "HALF": stored == "half"},
        num_warps=8,
        num_stages=1,
    )


KERNELS = (
    *(_keys(stored, length) for stored in STORED for length in LENGTHS),
    *(_text(stored, length) for stored in STORED for length in LENGTHS),
)
