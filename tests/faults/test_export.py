"""Whole exports, killed and out of disk: an old bundle stays as it was, and nothing is left behind that stays."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mmkg_sdk.bundle import Bundle
from mmkg_sdk.run import Run
from tests.places import ROOT


def export_under(faults: list[str], run: Run, target: Path) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.export_program", str(run.folder), str(target), *faults],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        timeout=240,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_an_export_that_dies_or_runs_out_of_disk_leaves_the_old_bundle(
    golden_run: Run, golden_bundle: Path, tmp_path: Path
) -> None:
    target = tmp_path / "bundle"
    shutil.copytree(golden_bundle, target)
    old = {path.name: path.read_bytes() for path in target.iterdir()}
    faults = ["disk:100", "kill:weights.safetensors", "disk:100000", "kill:query_encoder.onnx"]
    for outcome in export_under(faults, golden_run, target):
        assert outcome["inside"] == sorted(old), outcome
        if outcome["fault"].startswith("kill"):
            assert outcome["status"] == -9
            assert ".bundle.new" in outcome["beside"]
        else:
            assert outcome["message"].startswith(f"ExportError: {target} could not be written (File too large")
            assert "bytes needed" in outcome["message"]
            assert outcome["beside"] == ["bundle"]  # also what an earlier kill had left is gone
    assert {path.name: path.read_bytes() for path in target.iterdir()} == old
    Bundle.open(target)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_an_export_killed_at_its_last_step_is_repeated_without_a_trace(golden_run: Run, tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    killed, repeated = export_under(["kill:rename", "none"], golden_run, target)
    assert (killed["status"], killed["inside"]) == (-9, [])
    assert (repeated["status"], repeated["message"], repeated["beside"]) == (0, "exported", ["bundle"])
    Bundle.open(target)
    modes = {path.name: path.stat().st_mode & 0o444 for path in target.iterdir()}
    assert len(set(modes.values())) == 1, f"all files can be read by whom one of them can be read: {modes}"
