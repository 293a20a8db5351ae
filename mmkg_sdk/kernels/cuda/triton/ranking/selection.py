"""The m best of many numbers of each query, and a bound of all others: of bins, then of settled rows.

Everything is a uint64 key that orders by score and then by place (canonical.py), so no two are equal, and the m best
are those from one threshold on. It is found bit by bit, by counting: no lists, no atomics, the same for any launch.
Long rows of bins are cut short first: maxima of groups of 32 bins. The m best bins lie in the m best groups, ties
included, since both orders prefer the lower place.
"""

from __future__ import annotations

import triton
import triton.language as tl

from ..specs import KernelSpec
from .canonical import key_of, place_of, score_of

GROUP = tl.constexpr(32)  # bins
# What keys are made of.
VALUES = tl.constexpr(0)  # float32, one after the other
GROUPED = tl.constexpr(1)  # float32, of chosen groups
KEYS = tl.constexpr(2)  # uint64 that are keys already


@triton.jit
def load_keys(source, groups, start, length, total, KIND: tl.constexpr, BLOCK: tl.constexpr):
    """uint64 [BLOCK] from element `start` of `length` on; 0 for none. total: numbers that source has."""
    at = start + tl.arange(0, BLOCK)
    inside = at < length
    if KIND == KEYS:
        keys = tl.load(source + at, mask=inside, other=0)
    else:
        place = at
        if KIND == GROUPED:
            group = tl.load(groups + at // GROUP, mask=inside, other=-1)
            place = group * GROUP + at % GROUP
            inside = inside & (group >= 0) & (place < total)
        value = tl.load(source + place, mask=inside, other=0.0)
        keys = tl.where(inside & (value == value), key_of(value, place.to(tl.int64)), 0)
    return keys.to(tl.uint64)


@triton.jit
def threshold_of(source, groups, length, total, most, KIND: tl.constexpr, BLOCK: tl.constexpr):
    """The key from which on there are `most` keys, and how many there are: 1 and fewer if there are fewer."""
    head = load_keys(source, groups, 0, length, total, KIND, BLOCK)  # most often all
    present = tl.sum((head > 0).to(tl.int32))
    for start in range(BLOCK, length, BLOCK):
        present += tl.sum((load_keys(source, groups, start, length, total, KIND, BLOCK) > 0).to(tl.int32))
    threshold = tl.full((), 1, tl.uint64)
    reached = present
    if present > most:
        threshold = tl.full((), 0, tl.uint64)
        bit = tl.full((), 0x8000000000000000, tl.uint64)
        while (bit > 0) & (reached != most):
            trial = threshold | bit
            count = tl.sum((head >= trial).to(tl.int32))
            for start in range(BLOCK, length, BLOCK):
                count += tl.sum((load_keys(source, groups, start, length, total, KIND, BLOCK) >= trial).to(tl.int32))
            threshold = tl.where(count >= most, trial, threshold)
            reached = tl.where(count >= most, count, reached)
            bit = bit >> 1
    return threshold, reached


@triton.jit
def group_maxima(bins, groups, length, num_groups, BLOCK: tl.constexpr):
    """groups float32 [batch, num_groups], written: maxima of each 32 of bins float32 [batch, length].

    Program (query, block) of the grid makes BLOCK of them.
    """
    query = tl.program_id(0).to(tl.int64)
    group = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    at = group[:, None] * GROUP + tl.arange(0, GROUP)[None, :]
    value = tl.load(bins + query * length + at, mask=at < length, other=float("-inf"))
    tl.store(groups + query * num_groups + group, tl.max(value, axis=1), mask=group < num_groups)


@triton.jit
def least_from(source, groups, threshold, length, total, KIND: tl.constexpr, BLOCK: tl.constexpr):
    """The score of the least key from a threshold on; there is one."""
    least = tl.full((), 0xFFFFFFFFFFFFFFFF, tl.uint64)
    for start in range(0, length, BLOCK):
        keys = load_keys(source, groups, start, length, total, KIND, BLOCK)
        least = tl.minimum(least, tl.min(tl.where(keys >= threshold, keys, 0xFFFFFFFFFFFFFFFF)))
    return score_of(least)


@triton.jit
def count_from(source, groups, threshold, length, total, KIND: tl.constexpr, BLOCK: tl.constexpr):
    """How many keys there are from a threshold on."""
    count = 0
    for start in range(0, length, BLOCK):
        keys = load_keys(source, groups, start, length, total, KIND, BLOCK)
        count += tl.sum((keys >= threshold).to(tl.int32))
    return count


@triton.jit
def select_best(
    values,
    groups,
    excluded_offsets,
    slack,
    chosen,
    lengths,
    bounds,
    length,
    wanted,
    most,
    exact,
    KIND: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """The best bins of each query, or groups of bins: as many as its answers can be in. One program a query.

    `wanted` bins, and one more for each excluded row, hold k rows that are no padding and not excluded. Be v the least
    of their maxima: k rows score v - slack or more, so no row with a product below v - 2 slack is an answer, with
    some room for rounding v - 2.25 slack. All bins from there on are chosen, the best `most` of them if there are more.
    Of canonical scores (exact) the wanted ones are enough; see settle.py. Maxima of groups are no more than those of
    bins, place by place, so the groups chosen likewise hold them.

    Args:
        values: float32 [batch, length].
        groups: int32 [batch, most], the groups of 32 numbers that are looked at; read if KIND is GROUPED.
        excluded_offsets: int64 [batch + 1].
        slack: float32 [batch], of round_queries; read if exact is 0.
        chosen: int32 [batch, most], written: places of the best, ascending.
        lengths: int32 [batch], written: how many they are; with KIND GROUPED it holds the number of groups before.
        bounds: float32 [batch], written: v - 2.25 slack, or the largest number of what was not chosen if that is more:
            rows with products below it are settled no more than those of other bins. -inf if there is nothing to be
            left out. With KIND GROUPED it holds that of the groups before.
    """
    query = tl.program_id(0).to(tl.int64)
    values += query * length
    groups += query * most
    excluded = tl.load(excluded_offsets + query + 1) - tl.load(excluded_offsets + query)
    want = tl.minimum(wanted + excluded, most).to(tl.int32)
    looked_at = length
    bound = float("-inf")
    if KIND == GROUPED:
        looked_at = tl.load(lengths + query) * GROUP
        bound = tl.load(bounds + query)
    threshold, reached = threshold_of(values, groups, looked_at, length, want, KIND, BLOCK)
    if (exact == 0) & (reached >= wanted + excluded):
        excess = tl.load(slack + query)
        if excess < float("inf"):
            low = least_from(values, groups, threshold, looked_at, length, KIND, BLOCK) - 2.25 * excess
            bound = tl.maximum(bound, low)
            threshold = key_of(low, tl.full((), 0xFFFFFFFF, tl.int64))
            if count_from(values, groups, threshold, looked_at, length, KIND, BLOCK) > most:
                threshold, _ = threshold_of(values, groups, looked_at, length, most, KIND, BLOCK)
    taken = 0
    outside = tl.zeros((), dtype=tl.uint64)
    for start in range(0, looked_at, BLOCK):
        keys = load_keys(values, groups, start, looked_at, length, KIND, BLOCK)
        best = keys >= threshold
        at = taken + tl.cumsum(best.to(tl.int32)) - 1
        tl.store(chosen + query * most + at, place_of(keys).to(tl.int32), mask=best)
        taken += tl.sum(best.to(tl.int32))
        outside = tl.maximum(outside, tl.max(tl.where(best, 0, keys)))
    tl.store(lengths + query, taken)
    bound = tl.where(outside > 0, tl.maximum(bound, score_of(outside)), bound)
    tl.store(bounds + query, bound)


_SELECT = {
    "values": "*fp32",
    "groups": "*i32",
    "excluded_offsets": "*i64",
    "slack": "*fp32",
    "chosen": "*i32",
    "lengths": "*i32",
    "bounds": "*fp32",
    "length": "i32",
    "wanted": "i32",
    "most": "i32",
    "exact": "i32",
}
KERNELS = (
    KernelSpec(
        "group_maxima",
        group_maxima,
        {"bins": "*fp32", "groups": "*fp32", "length": "i32", "num_groups": "i32"},
        {"BLOCK": 128},
        num_warps=4,
        num_stages=1,
    ),
    KernelSpec(
        "select_best",
        select_best,
        _SELECT,
        {"KIND": VALUES.value, "BLOCK": 2048},
        num_warps=16,
        num_stages=1,
    ),
    KernelSpec(
        "select_grouped",
        select_best,
        _SELECT,
        {"KIND": GROUPED.value, "BLOCK": 1024},
        num_warps=8,
        num_stages=1,
    ),
)
