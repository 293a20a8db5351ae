"""Modalities beyond image and text: their names, files, tokens of any matrix, and leaving them out."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mmkg_sdk.data import DataSet, read_dataset, tokenize_dataset, write_dataset
from mmkg_sdk.data.dropped import drop_modalities
from mmkg_sdk.data.graph import Features, RawTokens
from mmkg_sdk.data.inspection.coverage import feature_coverage, token_coverage
from mmkg_sdk.data.inspection.summary import summarize
from mmkg_sdk.data.tokens.learned_features import learn_feature_tokens
from mmkg_sdk.errors import DataError
from mmkg_sdk.files.labels import Labels

from ..cli.running import ask
from .folders import same_dataset, small_dataset

GERMAN = RawTokens({"Oslo": [0, 1], "Norway": [2]}, np.eye(3, dtype=np.float32), 3, 2, "words")


def three(**changes: object) -> DataSet:
    """The small data set with a third modality, which has tokens of two entities and features of one."""
    dataset = small_dataset()
    vectors = np.array([[1, 2], [0, 0], [0, 0]], np.float32)
    tokens = {"german": GERMAN, **dataset.tokens}
    features = {"german": Features(vectors, np.array([True, False, False]))}
    return dataclasses.replace(dataset, tokens=tokens, features=features, **changes)


def test_a_third_modality_is_written_and_read_again_behind_the_published_ones(tmp_path: Path) -> None:
    write_dataset(three(), tmp_path / "small")
    read = read_dataset(tmp_path / "small")
    assert same_dataset(read, three())
    assert read.modalities == tuple(read.tokens) == ("visual", "text", "german")
    assert json.loads((tmp_path / "small" / "tokens.json").read_text())["format_version"] == 2
    write_dataset(small_dataset(), tmp_path / "two")
    assert json.loads((tmp_path / "two" / "tokens.json").read_text())["format_version"] == 1


@pytest.mark.parametrize("name", ["image", "structure", "vis", "German", "", "a-b", "a/b", "ä", "a" * 33, "1a"])
def test_a_name_that_would_be_mistaken_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="a modality cannot be called"):
        dataclasses.replace(small_dataset(), tokens={name: GERMAN})
    write_dataset(small_dataset(), tmp_path / "small")
    notes = tmp_path / "small" / "tokens.json"
    notes.write_text(json.dumps(json.loads(notes.read_text()) | {name: {}}))
    with pytest.raises(DataError, match="a modality cannot be called"):
        read_dataset(tmp_path / "small")


def test_a_listed_modality_without_its_file_and_a_file_that_is_not_listed_are_named(tmp_path: Path) -> None:
    write_dataset(three(), tmp_path / "small")
    (tmp_path / "small" / "german-tokens.json").rename(tmp_path / "small" / "french-tokens.json")
    with pytest.raises(DataError, match=r"german-tokens\.json"):
        read_dataset(tmp_path / "small")
    write_dataset(small_dataset(), tmp_path / "two")
    (tmp_path / "two" / "french-tokens.json").write_text("{}")
    with pytest.warns(UserWarning, match=r"not read: .*french-tokens\.json; tokens\.json beside it does not list it"):
        assert read_dataset(tmp_path / "two").modalities == ("visual", "text")


def test_a_third_modality_is_counted_and_described() -> None:
    assert [(one.modality, one.count) for one in token_coverage(three())] == [("image", 2), ("text", 1), ("german", 2)]
    assert [(one.modality, one.count) for one in feature_coverage(three())][2] == ("german", 1)
    summary = summarize(three())
    assert summary["german_tokens"]["codebook_rows"] == 3
    assert summary["german_features"] == {"entities": 1, "coverage": 1 / 3, "width": 2}


def test_a_third_modality_is_dropped_alone() -> None:
    dropped = drop_modalities(three(), {"german": 1}, seed=0)
    assert not dropped.tokens["german"].lists
    assert not dropped.features["german"].present.any()
    assert dropped.tokens["visual"].lists == three().tokens["visual"].lists
    assert dropped.descriptions == three().descriptions
    with pytest.raises(DataError, match=r"cannot drop french=1; expected image or text or german, and a share"):
        drop_modalities(three(), {"french": 1}, seed=0)


def quantised(features: NDArray[np.float32], raw: RawTokens) -> NDArray[np.float64]:
    """Sum of the codebook rows of every entity."""
    return np.stack([raw.codebook[tokens].sum(axis=0) for tokens in raw.lists.values()]).astype(np.float64)


def test_a_matrix_of_few_different_rows_is_quantised_without_loss() -> None:
    draw = np.random.default_rng(0)
    # Seven columns in three parts: 3, 2 and 2. In each part there are four different rows.
    choices = [draw.normal(size=(4, width)).astype(np.float32) for width in (3, 2, 2)]
    which = draw.integers(0, 4, (40, 3))
    vectors = np.concatenate([rows[which[:, part]] for part, rows in enumerate(choices)], axis=1)
    raw = learn_feature_tokens(Features(vectors, np.ones(40, bool)), Labels(map(str, range(40))), 3)
    assert raw.codebook.shape == (12, 7)
    assert all(len(tokens) == 3 for tokens in raw.lists.values())
    # A linear map of the sum of an entity's rows is one of its vector: distances agree up to the common scale.
    found = quantised(vectors, raw)
    scale = np.linalg.norm(found[0] - found[1]) / np.linalg.norm(vectors[0] - vectors[1])
    np.testing.assert_allclose(found - found[0], scale * (vectors - vectors[0]), atol=1e-4)
    assert np.sqrt(np.square(raw.codebook[raw.codebook != 0]).mean()) == pytest.approx(1, rel=1e-3)


def test_tokens_of_a_matrix_skip_who_lacks_it_and_are_the_same_each_time() -> None:
    vectors = np.random.default_rng(1).normal(size=(300, 8)).astype(np.float32)
    present = np.arange(300) % 3 > 0
    features, entities = Features(vectors * present[:, None], present), Labels(map(str, range(300)))
    once, again = learn_feature_tokens(features, entities, 2), learn_feature_tokens(features, entities, 2)
    assert set(once.lists) == {str(row) for row in np.flatnonzero(present)}
    assert once.lists == again.lists
    assert np.array_equal(once.codebook, again.codebook)
    with pytest.raises(DataError, match="9 parts of features of 8 numbers"):
        learn_feature_tokens(features, entities, 9)
    with pytest.raises(DataError, match="no entity has features"):
        learn_feature_tokens(Features(np.zeros((300, 8), np.float32), np.zeros(300, bool)), entities, 2)


def test_texts_and_a_matrix_become_modalities_on_the_command_line(tmp_path: Path) -> None:
    write_dataset(dataclasses.replace(small_dataset(), tokens={}), tmp_path / "plain")
    (tmp_path / "german.tsv").write_text("Oslo\tHauptstadt von Norwegen\nNorway\tLand im Norden\n", encoding="utf-8")
    np.save(tmp_path / "m.npy", np.arange(12, dtype=np.float32).reshape(3, 4))
    options = ["--texts", f"german={tmp_path / 'german.tsv'}", "--features", f"sound={tmp_path / 'm.npy'}"]
    arguments = ["data", "tokenize", tmp_path / "plain", "--out", tmp_path / "out", *options, "--parts", "2", "--json"]
    answer = json.loads(ask(*arguments).stdout)
    assert answer["german_tokens"]["entities"] == 2
    assert answer["sound_tokens"]["tokens_per_entity"] == 2
    read = read_dataset(tmp_path / "out")
    assert tuple(read.tokens) == ("text", "german", "sound")
    np.testing.assert_array_equal(read.features["sound"].vectors, np.load(tmp_path / "m.npy"))


def test_one_modality_has_one_source(tmp_path: Path) -> None:
    features = Features(np.ones((3, 2), np.float32), np.ones(3, bool))
    with pytest.raises(DataError, match="texts of modality 'visual' are given"):
        tokenize_dataset(small_dataset(), images=None, texts={"visual": {"Oslo": "a"}})
    with pytest.raises(DataError, match="texts of modality 'german' are given"):
        tokenize_dataset(small_dataset(), images=None, texts={"german": {"Oslo": "a"}}, features={"german": features})
