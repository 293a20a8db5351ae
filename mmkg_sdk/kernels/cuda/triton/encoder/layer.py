"""What encoder layers share: norm and products of float32; and as kernels the parts of the query transformer's layers.

Vectors are padded with zeros to PADDED columns, a power of 2, and so are weights, on both axes: nothing that is padded
changes a sum.

Products of float32 take "tf32x3": both operands are taken apart into two numbers of 11 bits and the product of the low
ones is left out, about 2^-21 of the product, where TF32 would leave out 2^-11. Sums are float32.

Compiled for every target and tried in Triton's interpreter; never run on a GPU.
"""

import triton
import triton.language as tl

from ..specs import KernelSpec

# Padded widths that kernels exist for; those of launch/encoder/layer.cpp.
PADDED_WIDTHS = (128, 256, 512)
# Columns of an input that one product takes.
DEPTH = 32
# Columns of a head come in groups of so many; kGroup of launch/encoder/layer.h.
GROUP = 64


@triton.jit
def norm(x, weight, bias, columns, width, epsilon):
    """(x - mean) / sqrt(variance + epsilon) * weight + bias of each row; 0 beyond `width` columns.

    Args:
        x: float32 [rows, PADDED], 0 beyond width.
        weight, bias: addresses of float32 [PADDED], 0 beyond width.
        columns: 0 to PADDED - 1.
    """
    mean = tl.sum(x, axis=1) / width
    centred = tl.where((columns < width)[None, :], x - mean[:, None], 0.0)
    variance = tl.sum(centred * centred, axis=1) / width
    scale = 1 / tl.sqrt_rn(variance + epsilon)
    return centred * scale[:, None] * tl.load(weight + columns)[None, :] + tl.load(bias + columns)[None, :]


@triton.jit
def product(input, start, inside, weight, inner, at, chunks, DEPTH: tl.constexpr):
    """float32 [rows, columns] = input @ weight[:, at].

    Args:
        input: address of float32 [batch, chunks * DEPTH], read DEPTH columns at a time.
        start: where each row starts.
        inside: which rows there are; others count as 0.
        weight: address of float32 [chunks * DEPTH, inner].
        at: columns of the weight.
    """
    total = tl.zeros((start.shape[0], at.shape[0]), dtype=tl.float32)
    for chunk in range(chunks):
        depths = chunk * DEPTH + tl.arange(0, DEPTH)
        left = tl.load(input + start[:, None] + depths[None, :], mask=inside[:, None], other=0.0)
        right = tl.load(weight + depths[:, None] * inner + at[None, :])
        total = tl.dot(left, right, total, input_precision="tf32x3")
    return total


@triton.jit
def linear(
    input,
    weight,
    bias,
    out,
    batch,
    chunks,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
    RELU: tl.constexpr,
):
    """out = input @ weight + bias, and what is negative to 0 with RELU.

    Grid: (ceil(batch / ROWS), width of out / COLUMNS).

    Args:
        input: float32 [batch, chunks * DEPTH].
        weight, bias: float32 [chunks * DEPTH, width of out], [width of out].
        out: float32 [batch, width of out], written.
    """
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    at = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    inside = rows < batch
    out_columns = tl.num_programs(1) * COLUMNS
    total = product(input, rows * (chunks * DEPTH), inside, weight, out_columns, at, chunks, DEPTH)
    total += tl.load(bias + at)[None, :]
    if RELU:
        total = tl.maximum(total, 0.0, propagate_nan=tl.PropagateNan.ALL)
    tl.store(out + rows[:, None] * out_columns + at[None, :], total, mask=inside[:, None])


@triton.jit
def add_norm(x, y, weight, bias, out, batch, width, out_columns, epsilon, ROWS: tl.constexpr, PADDED: tl.constexpr):
    """out = norm(x + y).

    Grid: (ceil(batch / ROWS),).

    Args:
        x, y: float32 [batch, PADDED].
        weight, bias: float32 [PADDED].
        out: float32 [batch, out_columns], written; neither x nor y. out_columns is width or PADDED.
    """
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    columns = tl.arange(0, PADDED)
    inside = rows < batch
    place = rows[:, None] * PADDED + columns[None, :]
    total = tl.load(x + place, mask=inside[:, None], other=0.0) + tl.load(y + place, mask=inside[:, None], other=0.0)
    total = norm(total, weight, bias, columns, width, epsilon)
    known = inside[:, None] & (columns < out_columns)[None, :]
    tl.store(out + rows[:, None] * out_columns + columns[None, :], total, mask=known)


def addresses(names: str) -> dict[str, str]:
    """The types of parameters that are addresses of float32."""
    return dict.fromkeys(names.split(), "*fp32")


KERNELS = (
    *(
        KernelSpec(
            f"linear{'_relu' if relu else ''}_{name}",
            linear,
            addresses("input weight bias out") | {"batch": "i32", "chunks": "i32"},
            {"ROWS": rows, "COLUMNS": columns, "DEPTH": DEPTH, "RELU": relu},
            4,
            4,
        )
        for relu in (False, True)
        for name, rows, columns in (("few", 16, 32), ("many", 64, 64))
    ),
    *(
        KernelSpec(
            f"add_norm_{padded}",
            add_norm,
            addresses("x y weight bias out")
            | {"batch": "i32", "width": "i32", "out_columns": "i32", "epsilon": "fp32"},
            {"ROWS": 1024 // padded, "PADDED": padded},
            4,
            1,
        )
        for padded in PADDED_WIDTHS
    ),
)
