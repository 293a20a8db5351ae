"""mmkg-sdk verify: whether every byte is as it was written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from .running import mmkg


def test_verify_reproduces_the_table(golden_bundle: Path) -> None:
    report = json.loads(mmkg("verify", golden_bundle, "--json").stdout)
    assert report["passed"] is True
    assert report["entity_encoder difference"] < 1e-5


def test_verify_names_the_changed_file(golden_bundle: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(golden_bundle, tmp_path / "copy")
    with (copy / "weights.safetensors").open("r+b") as file:
        file.seek(5000)
        file.write(b"\xff")
    assert "weights.safetensors was changed" in mmkg("verify", copy, code=1).stderr
