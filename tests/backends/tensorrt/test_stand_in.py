"""The backend with stand-ins for TensorRT's runtime and for the GPU: each file of stand_in/ in a process of its own."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "stand_in"
FILES = sorted(path.name for path in HERE.glob("test_*.py"))


@pytest.mark.parametrize("file", FILES)
def test_stand_in(file: str, golden_bundle: Path) -> None:
    for package in ("triton", "tensorrt_rtx_bindings"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    # Conftests above load torch; nothing here needs it.
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--confcutdir", HERE, HERE / file]
    settings = {
        "TRITON_INTERPRET": "1",
        "PYTEST_ADDOPTS": "",
        "OMP_NUM_THREADS": "1",
        "TEST_BUNDLE": str(golden_bundle),
    }
    done = subprocess.run(
        command, env={**os.environ, **settings}, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_there_are_such_tests() -> None:
    assert FILES == ["test_backend.py", "test_captured.py", "test_lost.py"]
