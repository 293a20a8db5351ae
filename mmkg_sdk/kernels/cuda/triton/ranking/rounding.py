"""Copies in bfloat16, and how far their products can be from canonical scores.

For a query q and a row e, with q', e' their copies in bfloat16 and D coordinates (padding included),

    q.e - q'.e' = q.(e - e') + (q - q').e'

so, by Cauchy and Schwarz, with Q >= |q|, |q'|; r >= |q - q'|; E >= |e|, |e'| and R >= |e - e'| of all rows,

    |q.e - q'.e'| <= Q R + r E                                                                        (rounding)

The residuals are measured, not bounded by the 2^-8 of bfloat16: they are less than half as long. A sum of products by
tensor cores is not rounded as IEEE 754 says. Fasi, Higham, Mikaitis and Pranesh, "Numerical behavior of NVIDIA tensor
cores" (2021) found exact products and additions that cut off what is below 2^-23 of the largest number that they add,
one or more products at a time. With at most 2 D cuts, of numbers that are at most Q E,

    |computed q'.e' - q'.e'| <= D 2^-22 Q E                                                           (tensor cores)
    |canonical score - q.e|  <= (D / 16 + 5) 2^-24 Q E, a chain of D / 16 and a tree of four roundings (canonical)

and numbers below 2^-126 may be taken as zeros anywhere: 2 D 2^-126 (1 + Q + E). The *slack* of a query is the sum of
these. It is computed in float32 and so made larger by 2^-6: its own roundings are below 2^-20 of it, and the sum of a
score and the slack is rounded by at most 2^-24 (Q E + slack) <= 2^-8 slack. Where Q E reaches 2^126, a partial sum
might be infinite or NaN, and the slack is infinity: nothing is certain then.
"""

from __future__ import annotations

import triton
import triton.language as tl

from ..specs import KernelSpec


@triton.jit
def round_block(source, rounded, row, live, width, padded, ROWS: tl.constexpr, CHUNK: tl.constexpr):
    """Writes rows in bfloat16; gives max(|x|, |x'|) and |x - x'| of each, float32 [ROWS], a little too large.

    Squares of small numbers would vanish and of large ones overflow: lengths are measured in units of the largest
    coordinate. One that is no finite number is given as infinity.
    """
    largest = tl.zeros((ROWS, CHUNK), dtype=tl.float32)
    largest_rest = tl.zeros((ROWS, CHUNK), dtype=tl.float32)
    broken = tl.zeros((ROWS, CHUNK), dtype=tl.int32)
    for at in tl.range(0, padded, CHUNK):
        place = at + tl.arange(0, CHUNK)
        inside = live[:, None] & (place < width)[None, :]
        value = tl.load(source + row[:, None] * width + place[None, :], mask=inside, other=0.0)
        short = value.to(tl.bfloat16)
        tl.store(rounded + row[:, None] * padded + place[None, :], short, mask=(place < padded)[None, :])
        wide = short.to(tl.float32)
        size = tl.maximum(tl.abs(value), tl.abs(wide))
        broken = broken | ((tl.abs(value) < float("inf")) & (size < float("inf")) == 0).to(tl.int32)
        largest = tl.maximum(largest, size)
        largest_rest = tl.maximum(largest_rest, tl.abs(value - wide))
    unit = tl.max(largest, axis=1)
    unit_rest = tl.max(largest_rest, axis=1)
    broken_row = tl.max(broken, axis=1) != 0
    sums = tl.zeros((ROWS, CHUNK), dtype=tl.float32)
    sums_rest = tl.zeros((ROWS, CHUNK), dtype=tl.float32)
    one = tl.where((unit > 0) & (broken_row == 0), unit, 1.0)[:, None]
    one_rest = tl.where((unit_rest > 0) & (broken_row == 0), unit_rest, 1.0)[:, None]
    for at in tl.range(0, width, CHUNK):
        place = at + tl.arange(0, CHUNK)
        inside = live[:, None] & (place < width)[None, :]
        value = tl.load(source + row[:, None] * width + place[None, :], mask=inside, other=0.0)
        wide = value.to(tl.bfloat16).to(tl.float32)
        size = tl.div_rn(tl.maximum(tl.abs(value), tl.abs(wide)), tl.broadcast_to(one, (ROWS, CHUNK)))
        rest = tl.div_rn(tl.abs(value - wide), tl.broadcast_to(one_rest, (ROWS, CHUNK)))
        sums += size * size
        sums_rest += rest * rest
    size = unit * tl.sqrt_rn(tl.sum(sums, axis=1)) * 1.001
    rest = unit_rest * tl.sqrt_rn(tl.sum(sums_rest, axis=1)) * 1.001
    return tl.where(broken_row, float("inf"), size), tl.where(broken_row, float("inf"), rest)


@triton.jit
def round_table(source, rounded, largest, rows, width, padded, ROWS: tl.constexpr, CHUNK: tl.constexpr):
    """The table in bfloat16, and E and R of each ROWS rows; the launcher takes the largest of all.

    Args:
        source: float32 [rows, width].
        rounded: bfloat16 [ROWS * programs, padded], written, with zeros in what is padding.
        largest: float32 [programs, 2], written: E and R; infinity where a number is not finite in bfloat16.
    """
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    size, rest = round_block(source, rounded, row, row < rows, width, padded, ROWS, CHUNK)
    tl.store(largest + tl.program_id(0).to(tl.int64) * 2, tl.max(size, axis=0))
    tl.store(largest + tl.program_id(0).to(tl.int64) * 2 + 1, tl.max(rest, axis=0))


@triton.jit
def round_queries(
    source, rounded, slack, batch, width, padded, table_size, table_rest, ROWS: tl.constexpr, CHUNK: tl.constexpr
):
    """Queries in bfloat16, and the slack of each; see the head of this file.

    Args:
        source: float32 [batch, width].
        rounded: bfloat16 [ROWS * programs, padded], written, with zeros in what is padding.
        slack: float32 [batch], written.
        table_size, table_rest: E and R of the table.
    """
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    size, rest = round_block(source, rounded, row, row < batch, width, padded, ROWS, CHUNK)
    coordinates = padded.to(tl.float32)
    sums = coordinates * 2.384185791015625e-07 + (coordinates / 16 + 5) * 5.960464477539063e-08  # 2^-22, 2^-24
    small = coordinates * 2.350988701644575e-38 * (1 + size + table_size)  # 2^-125
    bound = size * table_rest + rest * table_size + size * table_size * sums + small
    safe = size * table_size < 8.507059173023462e37  # 2^126
    tl.store(slack + row, tl.where(safe, bound * 1.015625, float("inf")), mask=row < batch)


KERNELS = (
    KernelSpec(
        "round_table",
        round_table,
        {"source": "*fp32", "rounded": "*bf16", "largest": "*fp32", "rows": "i32", "width": "i32", "padded": "i32"},
        {"ROWS": 16, "CHUNK": 64},
        num_warps=4,
        num_stages=2,
    ),
    KernelSpec(
        "round_queries",
        round_queries,
        {
            "source": "*fp32",
            "rounded": "*bf16",
            "slack": "*fp32",
            "batch": "i32",
            "width": "i32",
            "padded": "i32",
            "table_size": "fp32",
            "table_rest": "fp32",
        },
        {"ROWS": 1, "CHUNK": 256},
        num_warps=2,
        num_stages=2,
    ),
)
