"""A small kernel with a parameter of every kind."""

from __future__ import annotations

import triton
import triton.language as tl

from mmkg_sdk.kernels.cuda.triton.specs import KernelSpec


@triton.jit
def probe(out, table, rows, offset, scale, BLOCK: tl.constexpr):
    """out f32 [8, 32] = scale * table[offset : offset + 8, :32] where the row is below `rows`, else 0."""
    row = tl.arange(0, 8)
    column = tl.arange(0, BLOCK)
    tile = table.load([offset.to(tl.int32), 0])
    kept = tl.where(row[:, None] < rows, tile * scale, 0.0)
    tl.store(out + row[:, None] * BLOCK + column[None, :], kept)


PROBE = KernelSpec(
    name="probe",
    function=probe,
    signature={"out": "*fp32", "table": "tensordesc<fp32[8, 32]>", "rows": "i32", "offset": "i64", "scale": "fp32"},
    constants={"BLOCK": 32},
    num_warps=1,
    num_stages=1,
)
