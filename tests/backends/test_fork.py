"""A model in a forked process: it answers, or says at once what to do; and what it says works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.backends.on_cpu import ON_CPU
from tests.places import ROOT

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


@pytest.fixture(params=["model", "linker"])
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def bundle(kind: str, golden_bundle: Path, small_bundle: Path) -> Path:
    return golden_bundle if kind == "model" else small_bundle


def fork(bundle: Path, backend: str) -> dict[str, Any]:
    """What the child of fork_program.py found; a child that hangs is an error."""
    command = [sys.executable, "-m", "tests.backends.fork_program", str(bundle), backend]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("backend", ["auto", *ON_CPU])
def test_a_child_goes_on_or_gets_an_error_whose_advice_works(backend: str, kind: str, bundle: Path) -> None:
    found = fork(bundle, backend)
    expected = found["parent"]
    # Kernels do all of a Model's work; a Linker runs graphs for its mentions.
    if backend == "auto" and kind == "model":
        assert found["used"] == expected
    else:
        assert "by a fork, which its threads do not survive. Load the bundle in this process" in found["used"]
    assert found["loaded"] == found["spawned"] == expected
    if backend == "torch":
        assert "torch gets one thread: this process was forked" in found["warnings"]
        assert "torch cannot have 2 threads: this process was forked" in found["loaded with 2 threads"]
    else:
        assert found["warnings"] == ""
        assert found["loaded with 2 threads"] == expected
