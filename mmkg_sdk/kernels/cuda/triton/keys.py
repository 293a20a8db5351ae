"""What the scans share: answers as keys, lists of rows that are left out, and the tree that adds up the lanes.

A key orders answers as the library for the CPU does (cpu/ranking/keys.h): higher scores first, of equal ones the lower
id. 0 is no answer.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def order_bits(score):
    """float32 as uint32 in the same order. Scores are never -0."""
    bits = score.to(tl.uint32, bitcast=True)
    return bits ^ tl.where((bits >> 31) != 0, 0xFFFFFFFF, 0x80000000).to(tl.uint32)


@triton.jit
def key_of(score, ids):
    """uint64 of float32 scores and int64 ids below 2^32 - 1."""
    return (order_bits(score).to(tl.uint64) << 32) | (0xFFFFFFFF - ids).to(tl.uint64)


@triton.jit
def score_of(key):
    """The float32 score of a key."""
    bits = (key >> 32).to(tl.uint32)
    return (bits ^ tl.where((bits >> 31) != 0, 0x80000000, 0xFFFFFFFF).to(tl.uint32)).to(tl.float32, bitcast=True)


@triton.jit
def id_of(key):
    """The int64 id of a key."""
    return 0xFFFFFFFF - (key & 0xFFFFFFFF).to(tl.int64)


@triton.jit
def is_listed(ids, listed, low, high, steps):
    """Whether each id is among the ascending int64 listed[low:high], by binary search.

    Args:
        ids: int64, any shape.
        low, high: int64 scalars.
        steps: bits of the largest high - low of any list: 0 for empty ones.
    """
    left = tl.zeros_like(ids) + low
    right = tl.zeros_like(ids) + high
    for _ in range(steps):
        inside = left < right
        middle = (left + right) // 2
        found = tl.load(listed + middle, mask=inside, other=0)
        left = tl.where(inside & (found < ids), middle + 1, left)
        right = tl.where(inside & (found >= ids), middle, right)
    return (left < high) & (tl.load(listed + left, mask=left < high, other=-1) == ids)


@triton.jit
def tree(lanes):
    """[rows] of float32 [rows, 16]: lane j += lane j + 8, then + 4, + 2, + 1 (include/mmkg.h)."""
    rows: tl.constexpr = lanes.shape[0]
    total = tl.sum(tl.reshape(lanes, (rows, 2, 8)), axis=1)
    total = tl.sum(tl.reshape(total, (rows, 2, 4)), axis=1)
    total = tl.sum(tl.reshape(total, (rows, 2, 2)), axis=1)
    return tl.sum(total, axis=1)
