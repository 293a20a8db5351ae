"""Where the headers of TensorRT lie, and those of CUDA that they include."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest


def tensorrt_absence() -> str | None:
    """Why nothing can be compiled with them; None where it can."""
    if not os.environ.get("MMKG_TENSORRT_DIR"):
        return "no headers of TensorRT: MMKG_TENSORRT_DIR does not say where NvInferRuntime.h lies"
    if find_spec("triton") is None:
        return "no headers of CUDA: the package triton is not installed"
    return None if shutil.which("c++") else "there is no c++"


def tensorrt_headers() -> list[Path]:
    """MMKG_TENSORRT_DIR says where NvInferRuntime.h lies, as it does to CMake; cuda_runtime_api.h comes with Triton.

    Skips where one is missing.
    """
    if absence := tensorrt_absence():
        pytest.skip(absence)
    triton = find_spec("triton")
    assert triton
    assert triton.submodule_search_locations
    cuda = Path(triton.submodule_search_locations[0]) / "backends" / "nvidia" / "include"
    return [Path(os.environ["MMKG_TENSORRT_DIR"]), cuda]
