"""The measurement of a bundle that is large in entities, on a small one: it is a bundle, and every step is there."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from mmkg_sdk.answering.verification import verify_bundle
from mmkg_sdk.bench.studies.million import measure_million

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")


def test_a_stretched_bundle_is_verified_and_every_step_of_it_measured(tmp_path: Path) -> None:
    out, folder = tmp_path / "result.json", tmp_path / "bundle"
    found = measure_million(out, entities=1500, triples=2000, width=16, folder=folder, threads=1)
    assert json.loads(out.read_text()) == found
    assert str(tmp_path) not in out.read_text()
    assert verify_bundle(folder, device="cpu")["passed"]
    first, again = found["steps"].values()
    assert list(first) == list(again)
    assert len(first) == 14
    for step in (*first.values(), *again.values()):
        assert step["seconds"] > 0
        assert 30 < step["anonymous_mib"] <= step["peak_mib"] < 2000
    assert found["environment"]["threads"] == 1
