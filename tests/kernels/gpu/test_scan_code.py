"""What Triton makes of the scan's canonical scores and keys: the interpreter cannot show how a compiler rounds."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("triton", reason="Triton is not installed, and compiles the kernels here")

from mmkg_sdk.kernels.cuda.triton.build import compile_kernel
from mmkg_sdk.kernels.cuda.triton.image import CodeKind
from mmkg_sdk.kernels.cuda.triton.specs import PTX_TARGET, all_kernels


def code(name: str) -> str:
    spec = next(spec for spec in all_kernels() if spec.name == name and PTX_TARGET in spec.targets)
    kernels, _ = compile_kernel(spec, PTX_TARGET)
    return next(kernel.code for kernel in kernels if kernel.kind is CodeKind.PTX).decode()


@pytest.mark.parametrize("name", ["pair_scores", "settle_rows"])
def test_canonical_scores_are_fused_and_rounded_as_mmkg_h_says(name: str) -> None:
    ptx = code(name)
    assert "fma.rn.f32" in ptx
    assert ".ftz" not in ptx  # denormals are kept
    assert ".approx" not in ptx


def test_keys_are_compared_as_numbers_without_a_sign() -> None:
    compared = re.findall(r"setp\.(?:lt|le|gt|ge)\.([us]64)", code("finish_top_16"))
    # The others test the sign bit of a score in a key, and the number of bins that were asked for.
    assert compared.count("s64") <= 2 < 30 < compared.count("u64")
