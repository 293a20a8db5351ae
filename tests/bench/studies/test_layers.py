"""The measurement of layers, on miniatures: both contenders give the same, and its numbers agree."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmkg_sdk import BackendError
from mmkg_sdk.bench.studies.layers import CANDIDATES, CONTENDERS, measure_layers

MYGO = {
    "num_entities": 20,
    "num_relations": 3,
    "visual_codebook_rows": 11,
    "visual_codebook_width": 4,
    "text_codebook_rows": 12,
    "text_codebook_width": 6,
    "embedding_dim": 16,
    "feedforward_dim": 24,
}
MIMIC = {
    "vocabulary_size": 30,
    "text_length": 5,
    "text_positions": 8,
    "text_width": 16,
    "text_feedforward_dim": 16,
    "num_text_heads": 2,
    "image_size": 8,
    "patch_size": 4,
    "image_width": 16,
    "image_feedforward_dim": 16,
    "num_image_heads": 2,
    "image_feature_dim": 8,
    "text_unit_dim": 8,
    "image_unit_dim": 8,
    "cross_modal_unit_dim": 8,
}


def test_kernels_and_graphs_give_the_same_at_every_size(tmp_path: Path) -> None:
    found = measure_layers(
        tmp_path / "out.json", instruction_set="portable", batches=(1, 3), threads=1, seconds=0.0, rounds=1, mygo=MYGO,
        mimic=MIMIC,
    )  # fmt: skip
    names = ["token-table encoder", "query transformer and Tucker product", "MIMIC's pairs"]
    assert [(row["layer"], row["batch"]) for row in found["layers"]] == [(n, b) for n in names for b in (1, 3)]
    for row in found["layers"]:
        assert 0 < row["difference_to_rms"] < 1e-5, row
        assert all(row["ms_p50"][name] > 0 for name in CONTENDERS)
        assert 0 <= row["percent_of_ceiling"] < 100  # of so little work, rounded to 0 on a busy machine
    assert found["candidates"] == CANDIDATES
    assert found["settings"]["instruction_set"] == "portable"
    assert json.loads((tmp_path / "out.json").read_text()) == found


def test_a_set_that_there_is_not_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="instruction set 'mmx' is not available"):
        measure_layers(tmp_path / "out.json", instruction_set="mmx")
