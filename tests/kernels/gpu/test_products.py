"""With which instructions the encoders' kernels multiply and add, as Triton compiles them; no GPU takes part."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("triton")

from mmkg_sdk.kernels.cuda.triton.build import compile_kernel
from mmkg_sdk.kernels.cuda.triton.image import CodeKind
from mmkg_sdk.kernels.cuda.triton.specs import PTX_TARGET, all_kernels

# Of each warp: a tile of 16 rows, 32 or 64 columns for 4 warps, 32 or 64 deep; an instruction takes 8 columns and is 8
# deep in TF32, 16 in bfloat16.
TF32 = b"mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32"
BFLOAT16 = b"mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32"


@pytest.mark.parametrize(
    ("name", "instruction", "products", "parts"),
    [
        ("linear_few", TF32, 1 * 4, 3),  # 3 x TF32: with one part it would be TF32
        ("token_table_fp32_128_few", TF32, 2 * 8 + 2 * 8, 3),  # two from the depth of 32, two to all 128 columns
        ("tucker_partials_fp32_few", TF32, 2 * 4, 3),
        ("tucker_partials_fp16_few", TF32, 2 * 4, 3),
        ("tucker_partials_bf16_few", BFLOAT16, 2 * 4, 2),  # a context of two numbers
    ],
)
def test_float32_is_taken_apart(name: str, instruction: bytes, products: int, parts: int) -> None:
    spec = next(spec for spec in all_kernels() if spec.name == name)
    made, _ = compile_kernel(spec, PTX_TARGET)
    ptx = next(kernel.code for kernel in made if kernel.kind is CodeKind.PTX)
    assert ptx.count(instruction) == ptx.count(b"mma.sync") == products * parts


def test_rotations_are_rounded_once_a_step_even_where_a_driver_compiles_them() -> None:
    """Without .rn a product and a sum may be fused."""
    spec = next(spec for spec in all_kernels() if spec.name == "rotate")
    made, _ = compile_kernel(spec, PTX_TARGET)
    ptx = next(kernel.code for kernel in made if kernel.kind is CodeKind.PTX).decode()
    steps = re.findall(r"\b(?:add|sub|mul|fma|mad)\S*\.f32\b", ptx)
    assert set(steps) == {"add.rn.f32", "sub.rn.f32", "mul.rn.f32"}
