"""The CUDA kernels' logic on a CPU: each file of interpreted/ in a process of its own, with Triton's interpreter.

By hand: TRITON_INTERPRET=1 python -m pytest --confcutdir tests/kernels/gpu tests/kernels/gpu/interpreted/test_NAME.py
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .fake_driver.driver import compile_driver

HERE = Path(__file__).parent
FILES = sorted(path.name for path in (HERE / "interpreted").glob("test_*.py"))


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Compiled for all children, where there is a compiler."""
    if shutil.which("cc") is None:
        return {}
    return {"FAKE_CUDA_DRIVER": str(compile_driver(tmp_path_factory.mktemp("driver")))}


@pytest.mark.parametrize("file", FILES)
def test_interpreted(file: str, driver: dict[str, str]) -> None:
    run(file, **driver)


def test_scans_load_tiles_by_addresses_where_a_gpu_has_no_tensor_maps(driver: dict[str, str]) -> None:
    run("test_gpu_scan.py", "-k", "top_k_is_that or ranks_are", **driver, FAKE_CUDA_CAPABILITY="80")


def run(file: str, *arguments: str, **variables: str) -> None:
    """One file in a child, as a GPU of compute capability 9.0 unless the variables say otherwise."""
    if importlib.util.find_spec("triton") is None:
        pytest.skip("Triton is not installed; its interpreter runs the kernels here")
    # Conftests above this folder load torch; nothing here needs it.
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--confcutdir", HERE]
    done = subprocess.run(
        [*command, HERE / "interpreted" / file, *arguments],
        env={**os.environ, "TRITON_INTERPRET": "1", "PYTEST_ADDOPTS": "", "OMP_NUM_THREADS": "1", **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_there_are_interpreted_tests() -> None:
    assert FILES
