"""Entities given by a word and a picture, on a tiny model: times are those of whole answers, and torch stays out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from mmkg_sdk.bench.modalities.newcomers import measure_newcomers
from mmkg_sdk.errors import DataError
from tests.families.raw_bundles import raw_adamf


def pictures(folder: Path, count: int) -> Path:
    folder.mkdir()
    for row in range(count):
        Image.new("RGB", (20, 20), (row * 20, 60, 90)).save(folder / f"flag {row}.png")
    return folder


def test_every_newcomer_is_added_and_answered(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    bundle = raw_adamf(tmp_path_factory) / "bundle"
    out = tmp_path / "newcomers.json"
    found = measure_newcomers(bundle, out, images=pictures(tmp_path / "flags", 9), most=8, threads=1)
    assert json.loads(out.read_text()) == found
    assert found["entities"] == 8
    times = found["milliseconds"]
    assert times["p99"] is None  # too few of them
    assert 0 < times["added_median"] < times["median"] <= times["most"]
    assert times["first"] > 0


def test_too_few_pictures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has 2 pictures; expected more than 5"):
        measure_newcomers("bundle", tmp_path / "out.json", images=pictures(tmp_path / "flags", 2))
