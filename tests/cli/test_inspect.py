"""mmkg-sdk inspect: what the manifest says."""

from __future__ import annotations

import json
from pathlib import Path

from .running import mmkg


def test_inspect_describes_the_bundle(golden_bundle: Path) -> None:
    text = mmkg("inspect", golden_bundle).stdout
    assert "query_encoder.onnx" in text
    assert "num_entities" in text
    assert json.loads(mmkg("inspect", golden_bundle, "--json").stdout)["config"]["num_entities"] == 40
