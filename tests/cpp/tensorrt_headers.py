"""Where the headers of TensorRT lie, and those of CUDA that they include."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest


def tensorrt_headers() -> list[Path]:
    """MMKG_TENSORRT_DIR says where NvInferRuntime.h lies, as it does to CMake; cuda_runtime_api.h comes with Triton.

    Skips where one is missing.
    """
    folder = os.environ.get("MMKG_TENSORRT_DIR")
    if not folder:
        pytest.skip("no headers of TensorRT: MMKG_TENSORRT_DIR does not say where NvInferRuntime.h lies")
    if shutil.which("c++") is None:
        pytest.skip("there is no c++")
    triton = find_spec("triton")
    if triton is None or not triton.submodule_search_locations:
        pytest.skip("no headers of CUDA: the package triton is not installed")
    return [Path(folder), Path(triton.submodule_search_locations[0]) / "backends" / "nvidia" / "include"]
