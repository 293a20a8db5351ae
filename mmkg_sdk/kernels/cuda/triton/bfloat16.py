"""Rounding to bfloat16 and products of it, as a GPU does them, and with the same results in Triton's interpreter.

The interpreter, of Triton 3.9 at least, cuts off where a GPU rounds to nearest even, and multiplies the bit patterns of
bfloat16 as whole numbers, both without a word.
"""

from __future__ import annotations

import triton
import triton.language as tl

INTERPRETED = tl.constexpr(bool(triton.knobs.runtime.interpret))


@triton.jit
def to_bfloat16(x):
    """float32 rounded to nearest even; NaN may become any number in the interpreter."""
    if INTERPRETED:
        bits = x.to(tl.uint32, bitcast=True)
        short = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).to(tl.uint16).to(tl.bfloat16, bitcast=True)
    else:
        short = x.to(tl.bfloat16)
    return short


@triton.jit
def dot(queries, rows, scores):
    """scores + queries x rows transposed: float32 [m, n] of bfloat16 [m, CHUNK] and [n, CHUNK]."""
    if INTERPRETED:
        scores = tl.dot(queries.to(tl.float32), rows.to(tl.float32).T, scores, input_precision="ieee")
    else:
        scores = tl.dot(queries, rows.T, scores)
    return scores
