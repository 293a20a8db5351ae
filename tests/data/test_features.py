"""Features: one vector per entity, read, written, made of tokens, and left out on purpose."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from mmkg_sdk.data import read_dataset, write_dataset
from mmkg_sdk.data.graph import DataSet, Features, RawTokens
from mmkg_sdk.data.modalities import drop_modalities, modality_features
from mmkg_sdk.errors import DataError

from .folders import small_dataset


def with_features(rows: int | None = None) -> DataSet:
    dataset = small_dataset()
    vectors = np.arange(1, 1 + 3 * (rows or len(dataset.graph.entities)), dtype=np.float32).reshape(-1, 3)
    return dataclasses.replace(dataset, visual_features=Features(vectors, np.ones(len(vectors), np.bool_)))


def test_written_features_are_read_again_and_a_row_of_zeros_is_missing(tmp_path: Path) -> None:
    dataset = with_features()
    assert dataset.visual_features is not None
    dataset.visual_features.vectors[1] = 0
    write_dataset(dataset, tmp_path / "set")
    read = read_dataset(tmp_path / "set")
    assert read.text_features is None
    assert read.visual_features is not None
    np.testing.assert_array_equal(read.visual_features.vectors, dataset.visual_features.vectors)
    assert np.flatnonzero(~read.visual_features.present).tolist() == [1]


def test_the_official_file_names_are_read(tmp_path: Path) -> None:
    dataset = small_dataset()
    write_dataset(dataset, tmp_path / "set")
    count = len(dataset.graph.entities)
    torch.save(torch.ones(count, 4), tmp_path / "set" / "DB15K-visual.pth")
    torch.save(torch.nn.Parameter(torch.full((count, 2), 3.0)), tmp_path / "set" / "DB15K-textual.pth")
    read = read_dataset(tmp_path / "set")
    assert read.visual_features is not None
    assert read.text_features is not None
    assert (read.visual_features.vectors.shape, read.text_features.vectors.shape) == ((count, 4), (count, 2))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (torch.ones(2, 4), "has 2 rows; expected one for each of 3"),
        (torch.ones(4), "expected float32"),
        (torch.ones(3, 4, dtype=torch.int64), "expected floating point"),
        (torch.full((3, 4), torch.nan), "not finite"),
        ({"a": torch.ones(3, 4), "b": torch.ones(3, 4)}, r"holds 2 arrays \(a, b\); expected one"),
        ({"a": 1}, "holds a dict; expected one tensor"),
    ],
)
def test_feature_files_that_do_not_fit_are_named(tmp_path: Path, content: object, message: str) -> None:
    write_dataset(small_dataset(), tmp_path / "set")
    torch.save(content, tmp_path / "set" / "x-visual.pth")
    with pytest.raises(DataError, match=message):
        read_dataset(tmp_path / "set")


def test_two_files_of_one_modality_are_an_error(tmp_path: Path) -> None:
    write_dataset(with_features(), tmp_path / "set")
    torch.save(torch.ones(3, 4), tmp_path / "set" / "x-visual.pth")
    with pytest.raises(DataError, match=r"several files hold visual features: .*x-visual.pth, .*features.safetensors"):
        read_dataset(tmp_path / "set")


def test_without_feature_files_an_entity_is_the_mean_of_its_tokens() -> None:
    dataset = small_dataset()
    entities = list(dataset.graph.entities)
    codebook = np.array([[1, 0], [0, 1], [5, 5]], np.float32)
    raw = RawTokens({entities[0]: [0, 1, 1, 1], entities[2]: []}, codebook, 3, 2)
    found = modality_features(dataclasses.replace(dataset, text=raw), "text")
    np.testing.assert_allclose(found.vectors[0], [0.25, 0.75])
    assert found.present.tolist() == [row == 0 for row in range(len(entities))]
    assert not found.vectors[1:].any()
    none = modality_features(dataclasses.replace(dataset, visual=None), "visual")
    assert none.vectors.shape == (len(entities), 1)
    assert not none.present.any()
    beyond = dataclasses.replace(raw, lists={entities[0]: [3]})
    with pytest.raises(DataError, match="token 3 is no row of the unknown codebook"):
        modality_features(dataclasses.replace(dataset, text=beyond), "text")


def test_dropping_leaves_the_stated_share_and_is_the_same_for_the_same_seed() -> None:
    dataset = with_features()
    count = len(dataset.graph.entities)
    for share in (0.0, 0.5, 1.0):
        dropped = drop_modalities(dataset, {"image": share}, seed=3)
        assert dropped.visual_features is not None
        assert dropped.visual_features.present.sum() == count - round(share * count)
        assert not dropped.visual_features.vectors[~dropped.visual_features.present].any()
        again = drop_modalities(dataset, {"image": share}, seed=3).visual_features
        assert again is not None
        np.testing.assert_array_equal(dropped.visual_features.present, again.present)
        assert dropped.text == dataset.text
    without_text = drop_modalities(dataset, {"text": 1}, seed=0)
    assert without_text.text is not None
    assert not without_text.text.lists


@pytest.mark.parametrize(
    "shares", [{"sound": 0.5}, {"image": 1.5}, {"image": -0.1}, {"image": "half"}, {"image": True}]
)
def test_what_cannot_be_dropped_is_named(shares: dict[str, float]) -> None:
    with pytest.raises(DataError, match="cannot drop"):
        drop_modalities(small_dataset(), shares, seed=0)
