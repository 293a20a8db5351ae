"""mmkg-sdk evaluate: the official metrics."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mmkg_sdk.run import Run
from tests.places import GOLDEN

from .running import mmkg


def test_evaluate_gives_the_official_metrics_for_run_and_bundle(golden_bundle: Path, golden_run: Run) -> None:
    official = np.load(GOLDEN / "mygo" / "db15k_like" / "outputs.npz")["metrics"]
    for path in (golden_run.folder, golden_bundle):
        found = json.loads(mmkg("evaluate", path, "--split", "test", "--json", "--by-side", "--by-relation").stdout)
        names = ("mean_rank", "mrr", "hits_at_10", "hits_at_3", "hits_at_1")
        assert [found[name] for name in names] == pytest.approx(official.tolist(), rel=1e-6)
        assert set(found["by_side"]) == {"head", "tail"}
        assert sum(row["triples"] for row in found["by_relation"].values()) * 2 == found["queries"]
    table = mmkg("evaluate", golden_bundle, "--by-side").stdout
    assert "head queries" in table
    assert "realistic ties" in table


def test_evaluate_says_what_is_neither_run_nor_bundle(tmp_path: Path) -> None:
    assert "neither a run nor a bundle" in mmkg("evaluate", tmp_path, code=1).stderr


def test_evaluate_says_what_was_left_out(golden_run: Run) -> None:
    whole = json.loads(mmkg("evaluate", golden_run.folder, "--json").stdout)
    bare = json.loads(mmkg("evaluate", golden_run.folder, "--json", "--without", "image", "--without", "text").stdout)
    assert "without" not in whole
    assert bare["without"] == ["image", "text"]
    assert bare["mrr"] != whole["mrr"]
    assert (
        "without image, without text"
        in mmkg("evaluate", golden_run.folder, "--without", "image", "--without", "text").stdout
    )
