"""How much of each modality a family finds, and what is said or refused where there is nothing."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from mmkg_sdk.data import open_data
from mmkg_sdk.data.graph import DataSet, Features
from mmkg_sdk.data.inspection.coverage import absence_remarks, need_modalities
from mmkg_sdk.errors import DataError
from mmkg_sdk.families import contract

from ..folders import own_linking, own_relations, own_tags, small_dataset


def with_vectors(dataset: DataSet) -> DataSet:
    present = np.array([True, False, False])
    return dataclasses.replace(
        dataset,
        tokens={"text": dataset.tokens["text"]},
        features={"visual": Features(np.ones((3, 2), np.float32), present)},
    )


def found(family: str, data: object) -> list[tuple[str, int]]:
    return [(one.modality, one.count) for one in contract.inputs_part(family).coverage(data)]


def test_every_family_counts_what_it_reads(tmp_path: Path) -> None:
    tokens, vectors = small_dataset(), with_vectors(small_dataset())
    assert found("mygo", tokens) == [("image", 2), ("text", 1)]
    assert found("mygo", vectors) == [("image", 0), ("text", 1)]
    assert found("adamf_mat", tokens) == [("image", 2), ("text", 1)]
    assert found("adamf_mat", vectors) == [("image", 1), ("text", 1)]
    assert found("mkgformer", tokens) == [("image", 0), ("text", 1)]
    pictured = dataclasses.replace(
        tokens, images={"Oslo": [Path("oslo.png")]}, entity_texts={"Oslo": "a", "Norway": "b"}
    )
    assert found("mkgformer", pictured) == [("image", 1), ("text", 2)]
    assert found("mkgformer", open_data(own_relations(tmp_path / "relations"))) == [("image", 1), ("text", 2)]
    assert found("mkgformer", open_data(own_tags(tmp_path / "tags"))) == [("image", 0), ("text", 2)]
    assert found("mimic", open_data(own_linking(tmp_path / "linking"))) == [("image", 2), ("text", 3)]


def test_one_line_says_what_is_missing_what_is_left_and_where_it_was_looked_for() -> None:
    dataset = with_vectors(small_dataset())
    (line,) = absence_remarks(contract.inputs_part("mygo").coverage(dataset), dataset)
    assert line.startswith(
        "no image tokens found: training on structure and text; looked for visual-tokens.json, *-vis"
    )
    bare = dataclasses.replace(dataset, tokens={}, features={})
    (line,) = absence_remarks(contract.inputs_part("adamf_mat").coverage(bare), bare)
    assert line.startswith("no image features and no text features found: training on structure alone; looked for *vis")
    assert absence_remarks(contract.inputs_part("adamf_mat").coverage(dataset), dataset) == []


def test_sentences_have_no_structure(tmp_path: Path) -> None:
    data = open_data(own_tags(tmp_path))
    (line,) = absence_remarks(contract.inputs_part("mkgformer").coverage(data), data)
    assert line == "no image of a sentence found: training on text alone; looked for the files that the data name."


def test_what_is_required_must_be_there() -> None:
    coverage = contract.inputs_part("mygo").coverage(with_vectors(small_dataset()))
    need_modalities(coverage, ["text"])
    with pytest.raises(DataError, match=r"no image tokens found, and image is required; looked for visual-tokens.json"):
        need_modalities(coverage, ["text", "image"])
    with pytest.raises(DataError, match=r"cannot require 'sound'; expected one of image, text"):
        need_modalities(coverage, ["sound"])
