"""Training and exporting on a graph of many entities, measured on a small one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmkg_sdk import BackendError
from mmkg_sdk.bench.studies.exporting import measure_exporting
from mmkg_sdk.bench.studies.quickstart import measure_quickstart
from mmkg_sdk.bench.studies.training import measure_training


def test_both_ways_of_a_training_are_measured(tmp_path: Path) -> None:
    out = tmp_path / "training.json"
    found = measure_training(out, entities=300, triples=100, width=8, sampled=20, threads=1)
    assert json.loads(out.read_text()) == found
    assert list(found["ways"]) == ["all entities, as published", "20 sampled entities"]
    for way in found["ways"].values():
        assert way["triples_per_second"] > 0
        assert 50 < way["peak_mib"] < 4000


def test_an_export_is_measured(tmp_path: Path) -> None:
    found = measure_exporting(tmp_path / "exporting.json", entities=200, width=4, triples=50)
    assert json.loads((tmp_path / "exporting.json").read_text()) == found
    assert found["seconds"] > 0
    assert 50 < found["peak_mib"] < 4000


def test_a_quickstart_that_fails_says_why_and_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"status 2: .*(?s:.*)nobody"):
        measure_quickstart("nobody", tmp_path / "quickstart.json")
    assert not list(tmp_path.iterdir())
