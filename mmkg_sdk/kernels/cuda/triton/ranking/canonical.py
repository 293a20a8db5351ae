"""What mmkg.h defines to the bit, as parts of kernels: the canonical score, keys that order answers, lists of ids.

Vectors in float32 are padded with zeros to whole chunks of 16 coordinates, which changes no score.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def tree(lanes, SCORES: tl.constexpr):
    """The sum of 16 lanes in mmkg.h's order, float32 [SCORES] of [SCORES, 16]; -0 is given as +0.

    A sum over an axis of two is one addition, so no compiler can change the order.
    """
    eight = tl.sum(tl.reshape(lanes, (SCORES, 2, 8)), axis=1)
    four = tl.sum(tl.reshape(eight, (SCORES, 2, 4)), axis=1)
    two = tl.sum(tl.reshape(four, (SCORES, 2, 2)), axis=1)
    return tl.sum(two, axis=1) + 0.0


@triton.jit
def scores_of_rows(query, table, rows, live, chunks, ROWS: tl.constexpr):
    """Canonical inner products of one query with some rows, float32 [ROWS]; 0 where not live.

    query: address of float32 [16 chunks]. table: of float32 [any, 16 chunks]. rows: int64 [ROWS].
    """
    lane = tl.arange(0, 16)
    lanes = tl.zeros((ROWS, 16), dtype=tl.float32)
    start = table + rows[:, None] * (chunks * 16) + lane[None, :]
    for chunk in tl.range(0, chunks, loop_unroll_factor=4):
        mine = tl.load(query + chunk * 16 + lane)
        theirs = tl.load(start + chunk * 16, mask=live[:, None], other=0.0)
        lanes = tl.fma(tl.broadcast_to(mine[None, :], (ROWS, 16)), theirs, lanes)
    return tree(lanes, ROWS)


@triton.jit
def order_of(score):
    """uint32 that orders float32 as numbers; NaN has no place in it."""
    bits = score.to(tl.uint32, bitcast=True)
    return bits ^ tl.where((bits >> 31) != 0, 0xFFFFFFFF, 0x80000000).to(tl.uint32)


@triton.jit
def key_of(score, place):
    """uint64 that orders by score, equal ones by lower place (int64, below 2^32); never 0, which stands for none."""
    return (order_of(score).to(tl.uint64) << 32) | (0xFFFFFFFF - place).to(tl.uint64)


@triton.jit
def score_of(key):
    """The score of a key, float32."""
    bits = (key >> 32).to(tl.uint32)
    bits = bits ^ tl.where((bits >> 31) != 0, 0x80000000, 0xFFFFFFFF).to(tl.uint32)
    return bits.to(tl.float32, bitcast=True)


@triton.jit
def place_of(key):
    """The place of a key, int64."""
    return 0xFFFFFFFF - (key & 0xFFFFFFFF).to(tl.int64)


@triton.jit
def is_listed(ids, listed, low, high):
    """Whether each of some ids (int64) is in the strictly ascending int64 listed[low:high]; binary search."""
    left = tl.zeros_like(ids) + low
    right = tl.zeros_like(ids) + high
    length = high - low
    while length > 0:
        open_ = left < right
        middle = (left + right) // 2
        found = tl.load(listed + middle, mask=open_, other=0)
        left = tl.where(open_ & (found < ids), middle + 1, left)
        right = tl.where(open_ & (found >= ids), middle, right)
        length = length // 2
    at = tl.load(listed + left, mask=left < high, other=-1)
    return (left < high) & (at == ids)


@triton.jit
def bits_set(word):
    """How many bits of each uint32 are set, int32."""
    word = word - ((word >> 1) & 0x55555555)
    word = (word & 0x33333333) + ((word >> 2) & 0x33333333)
    word = (word + (word >> 4)) & 0x0F0F0F0F
    word = word + (word >> 8)
    return ((word + (word >> 16)) & 0x3F).to(tl.int32)
