"""The Tucker product of two vectors with a core, include/mmkg_tucker.h, as two kernels.

  out[b, o] = sum over i of relation[b, i] * (sum over j of context[b, j] * core[i, j, o] + relation_weight[i, o])
              + shift[o]

`tucker_partials` takes the sum apart into splits: some rows i of the core and DEPTH columns j. A split's context stays
where it is while the core streams past; the product of one i is scaled by relation[b, i] in float32 and added, so no
[batch, width, width] tensor exists, and the operand relation[b, i] * context[b, j] does not either. The scaling costs a
multiply-add where the matrix units do DEPTH of them. `tucker_sum` adds the splits in ascending order.

Splits depend on the width alone, so every batch has the same sums in the same order; launch/encoder/tucker.cpp makes
enough of them to read the core with the whole GPU for a batch of one.

Precision, all sums float32:
  bfloat16 core   context = high + low, two bfloat16 numbers, each rounded to the nearest. What they leave out is
                  at most 2^-16 of the context; rounding the core to bfloat16 left out up to 2^-8 of it. Products are
                  exact.
  float32, float16 core   "tf32x3": both operands are taken apart into two numbers of 11 bits and the product of the
                  low ones is left out, about 2^-21 of the product. It is not TF32, which would leave out 2^-11.
Subnormal numbers may count as 0.

Compiled for every target and tried in Triton's interpreter; never run on a GPU.
"""

import triton
import triton.language as tl

from ..specs import KernelSpec

# Columns j of a split, by the core's precision; three products of a deeper tile would not fit the registers.
DEPTHS = {"bf16": 64, "fp16": 32, "fp32": 32}


@triton.jit
def _product(context, high, low, weights):
    """float32 [ROWS, COLUMNS] = context @ weights."""
    if weights.dtype == tl.bfloat16:
        product = tl.dot(high, weights)
        product = tl.dot(low, weights, product)
    else:
        product = tl.dot(context, weights.to(tl.float32), input_precision="tf32x3")
    return product


@triton.jit
def _scaled_sum(scale, product, total):
    return tl.fma(tl.broadcast_to(scale[:, None], product.shape), product, total)


@triton.jit
def tucker_partials(
    context,
    relation,
    core,
    relation_weight,
    partials,
    batch,
    width,
    chunks,
    rows_per_split,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
):
    """What each split adds to each product.

    Grid: (ceil(batch / ROWS), padded / COLUMNS, ceil(width / rows_per_split) * chunks).

    Args:
        context, relation: float32 [batch, width].
        core: [width, padded, padded], zero beyond width; padded = chunks * DEPTH.
        relation_weight: of the core's dtype [width, padded], zero beyond width.
        partials: float32 [splits, batch, padded], written.
        chunks: padded is at least width and a multiple of COLUMNS.
        rows_per_split: rows i of the core in a split.
    """
    padded = chunks * DEPTH  # a multiple that the compiler knows, for loads of 16 bytes
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    columns = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    split = tl.program_id(2)
    chunk = split % chunks
    depths = chunk * DEPTH + tl.arange(0, DEPTH)
    first = (split // chunks) * rows_per_split
    last = tl.minimum(first + rows_per_split, width)

    inside = rows < batch
    start = rows * width
    known = inside[:, None] & (depths < width)[None, :]
    here = tl.load(context + start[:, None] + depths[None, :], mask=known, other=0.0)
    high = here.to(tl.bfloat16)
    low = (here - high.to(tl.float32)).to(tl.bfloat16)

    total = tl.zeros((ROWS, COLUMNS), dtype=tl.float32)
    if chunk == 0:
        for i in range(first, last):
            scale = tl.load(relation + start + i, mask=inside, other=0.0)
            weights = tl.load(relation_weight + i * padded + columns).to(tl.float32)
            total = _scaled_sum(scale, tl.broadcast_to(weights[None, :], (ROWS, COLUMNS)), total)
    slab = core + depths[:, None] * padded + columns[None, :]
    size = padded.to(tl.int64) * padded
    for i in range(first, last):
        weights = tl.load(slab + i * size)
        scale = tl.load(relation + start + i, mask=inside, other=0.0)
        total = _scaled_sum(scale, _product(here, high, low, weights), total)
    place = (split * batch + rows)[:, None] * padded + columns[None, :]
    tl.store(partials + place, total, mask=inside[:, None])


@triton.jit
def tucker_sum(partials, shift, out, batch, width, padded, splits, COLUMNS: tl.constexpr):
    """out float32 [batch, width] = partials [splits, batch, padded] added in ascending order, + shift [width].

    Grid: (batch, ceil(width / COLUMNS)).
    """
    row = tl.program_id(0).to(tl.int64)
    columns = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    inside = columns < width
    total = tl.load(shift + columns, mask=inside, other=0.0)
    size = batch.to(tl.int64) * padded
    partials += row * padded
    for split in range(splits):
        total += tl.load(partials + split * size + columns, mask=inside, other=0.0)
    tl.store(out + row * width + columns, total, mask=inside)


def _partials(precision: str, tiles: str, rows: int, num_warps: int, num_stages: int) -> KernelSpec:
    return KernelSpec(
        f"tucker_partials_{precision}_{tiles}",
        tucker_partials,
        {
            "context": "*fp32",
            "relation": "*fp32",
            "core": f"*{precision}",
            "relation_weight": f"*{precision}",
            "partials": "*fp32",
            "batch": "i32",
            "width": "i32",
            "chunks": "i32",
            "rows_per_split": "i32",
        },
        {"ROWS": rows, "COLUMNS": 64, "DEPTH": DEPTHS[precision]},
        num_warps,
        num_stages,
    )


KERNELS = (
    # Few rows a tile while the core's bytes are the bound, more once the products are.
    _partials("bf16", "few", 16, 4, 5),
    _partials("bf16", "more", 64, 4, 4),
    _partials("bf16", "many", 128, 8, 4),
    _partials("fp16", "few", 16, 4, 5),
    _partials("fp16", "more", 64, 4, 4),
    _partials("fp32", "few", 16, 4, 5),
    _partials("fp32", "more", 64, 4, 4),
    KernelSpec(
        "tucker_sum",
        tucker_sum,
        {
            "partials": "*fp32",
            "shift": "*fp32",
            "out": "*fp32",
            "batch": "i32",
            "width": "i32",
            "padded": "i32",
            "splits": "i32",
        },
        {"COLUMNS": 128},
        4,
        1,
    ),
)
