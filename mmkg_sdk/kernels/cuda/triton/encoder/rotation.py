"""AdaMF-MAT's queries, mmkg_rotation_apply of include/mmkg_query.h: the known entity, rotated by the relation.

The bits are the CPU's: kernels are compiled without fusing anything, so each product and each sum is rounded once.

Compiled for every target and tried in Triton's interpreter; never run on a GPU.
"""

import triton
import triton.language as tl

from ..specs import KernelSpec


@triton.jit
def rotate(
    table,
    rotations,
    entity,
    relation,
    direction,
    queries,
    rows,
    num_relations,
    stride,
    half,
    BLOCK: tl.constexpr,
):
    """A query whose ids are out of range is NaN, and reads nothing of them. Grid: (batch, ceil(half / BLOCK)).

    Args:
        table: float32 [rows, stride], the entities: `half` real parts, `half` imaginary ones, then what is neither.
        rotations: float32 [num_relations, 2 half]: cosines, then sines.
        entity, relation, direction: int64 [batch].
        queries: float32 [batch, 2 half], written.
    """
    b = tl.program_id(0).to(tl.int64)
    at = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = at < half
    e, r, d = tl.load(entity + b), tl.load(relation + b), tl.load(direction + b)
    fits = (e >= 0) & (e < rows) & (r >= 0) & (r < num_relations) & (d >= 0) & (d < 2)
    e, r = tl.where(fits, e, 0), tl.where(fits, r, 0)
    known, turn = table + e * stride + at, rotations + r * (2 * half) + at
    real, imaginary = tl.load(known, mask=inside, other=0.0), tl.load(known + half, mask=inside, other=0.0)
    cosine, sine = tl.load(turn, mask=inside, other=0.0), tl.load(turn + half, mask=inside, other=0.0)
    sine *= tl.where(d == 1, -1.0, 1.0)
    out = queries + b * (2 * half) + at
    tl.store(out, tl.where(fits, real * cosine - imaginary * sine, float("nan")), mask=inside)
    tl.store(out + half, tl.where(fits, real * sine + imaginary * cosine, float("nan")), mask=inside)


KERNELS = (
    KernelSpec(
        "rotate",
        rotate,
        {
            **dict.fromkeys(("table", "rotations"), "*fp32"),
            **dict.fromkeys(("entity", "relation", "direction"), "*i64"),
            "queries": "*fp32",
            **dict.fromkeys(("rows", "num_relations", "stride", "half"), "i32"),
        },
        {"BLOCK": 256},
        num_warps=4,
        num_stages=1,
    ),
)
