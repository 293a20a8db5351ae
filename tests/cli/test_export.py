"""mmkg-sdk export: one bundle, written once."""

from __future__ import annotations

import json
from pathlib import Path

from mmkg_sdk.run import Run

from .running import mmkg


def test_export_writes_a_bundle_once(golden_run: Run, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    done = mmkg("export", golden_run.folder, "--out", out, "--precision", "fp16", "--json")
    assert json.loads(done.stdout)["parity"]["passed"] is True
    assert "tracing query_encoder" in done.stderr
    assert "Pass --overwrite" in mmkg("export", golden_run.folder, "--out", out, code=1).stderr
