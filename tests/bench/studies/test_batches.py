"""The measurement of files of queries, on few of them: every way is there, with its time and its memory."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

pytest.importorskip("pyarrow", reason="pyarrow is not installed")

from mmkg_sdk.bench.studies.batches import FILES, LISTS, UNREAD, measure_batches
from tests.places import ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")


def test_every_way_is_measured(tmp_path: Path) -> None:
    said: list[str] = []
    bundle = ROOT / "tests" / "released" / "0.2.0" / "mygo"
    found = measure_batches(bundle, tmp_path / "batches.json", rows=100, k=2, rounds=1, threads=1, say=said.append)
    assert json.loads((tmp_path / "batches.json").read_text()) == found
    assert (found["entities"], found["rows"], found["k"], found["environment"]["threads"]) == (9, 100, 2, 1)
    assert list(found["ways"]) == [LISTS, UNREAD, *FILES]
    for way in found["ways"].values():
        assert way["queries_per_second"] == round(100 / way["seconds"][0])
        assert way["peak_mib"] >= 0
    assert len(said) == len(found["ways"])
