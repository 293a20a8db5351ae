"""Fixtures that several test files share; each is made once a session."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mmkg_sdk.export import export_bundle, import_checkpoint
from mmkg_sdk.run import Run

# Tests are many small runs: more threads than cores would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "2")


def import_golden(name: str, out: Path) -> Run:
    """An official checkpoint in miniature as a run."""
    case = Path(__file__).parent / "golden" / "mygo" / name
    return import_checkpoint(
        "mygo", case / "checkpoint.pt", out, inputs=case / "inputs.npz", config=case / "config.json"
    )


@pytest.fixture(scope="session")
def golden_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return import_golden("db15k_like", tmp_path_factory.mktemp("golden") / "run")


@pytest.fixture(scope="session")
def golden_bundle(golden_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An fp32 bundle of the golden run. Read-only: copy it before changing anything."""
    folder = tmp_path_factory.mktemp("golden") / "bundle"
    export_bundle(golden_run, folder)
    return folder
