"""The measurement of many entities added at once, on a few: every step is there, and the ratio is that of the steps."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from mmkg_sdk.bench.studies.growing import measure_growing

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")


def test_every_step_of_growing_is_measured(tmp_path: Path) -> None:
    out = tmp_path / "growing.json"
    found = measure_growing(out, entities=1200, added=300, width=16, threads=1)
    assert json.loads(out.read_text()) == found
    assert list(found["steps"]) == [
        *("query before", "encoder alone", "added as arrays", "query after", "one entity more", "added as lists"),
    ]
    seconds = {name: step["seconds"] for name, step in found["steps"].items()}
    assert min(seconds.values()) > 0
    for kind, ratio in found["times the encoder"].items():
        assert ratio == pytest.approx(seconds[f"added as {kind}"] / seconds["encoder alone"], abs=1e-3)
    assert found["added_table_mib"] == pytest.approx(300 * 16 * 4 / 2**20, abs=0.1)
