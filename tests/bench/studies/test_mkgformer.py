"""The measurement of MKGformer's rewrites, on a miniature: its numbers agree, and the formulas are the spec's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmkg_sdk.bench.studies.mkgformer import WAYS, gflop_per_query, measure_rewrites
from mmkg_sdk.families.mkgformer.config import MKGformerConfig

MINIATURE = {
    "num_entities": 20,
    "num_relations": 3,
    "base_vocabulary_size": 110,
    "hidden_dim": 16,
    "num_layers": 3,
    "num_heads": 2,
    "text_feedforward_dim": 24,
    "vision_feedforward_dim": 24,
    "patch_size": 8,
    "image_size": 16,
    "aux_image_size": 8,
    "rcnn_image_size": 8,
    "fusion_start_layer": 1,
}


def test_every_rewrite_gives_the_same_scores(tmp_path: Path) -> None:
    found = measure_rewrites(tmp_path / "out.json", text_tokens=8, seconds=0.0, **MINIATURE)
    assert [row["way"] for row in found["rewrites"]] == list(WAYS)
    assert all(row["difference"] < 1e-4 and len(row["samples_ms"]) == 3 for row in found["rewrites"])
    assert found["environment"]["threads"] == 1
    assert json.loads((tmp_path / "out.json").read_text()) == found


def test_costs_are_the_numbers_of_the_spec() -> None:
    config = MKGformerConfig(task="link-prediction", num_entities=14951, num_relations=237)
    cost = gflop_per_query(config, 64, 109)
    assert cost[WAYS[1]] == pytest.approx(31.9, abs=0.05)
    assert cost[WAYS[0]] - cost[WAYS[1]] == pytest.approx(4.5, abs=0.1)
    assert cost[WAYS[1]] - cost[WAYS[2]] == pytest.approx(13.1, abs=0.06)
    # The last layer: 0.92 + 0.32 GFLOP, of which 0.15 are left.
    assert cost[WAYS[2]] - cost[WAYS[3]] == pytest.approx(1.24 - 0.15, abs=0.02)
