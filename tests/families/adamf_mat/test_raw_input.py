"""Words and pictures in place of features: the mean vectors of the tokens that the training data had."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mmkg_sdk import Model
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.data import read_dataset
from mmkg_sdk.data.entity_images import find_entity_images
from mmkg_sdk.data.modalities import modality_features
from mmkg_sdk.errors import BundleError, QueryError
from mmkg_sdk.families.adamf_mat.runtime import check_bundle, entity_batch
from mmkg_sdk.modalities.stored_tokenizers import TOKENIZERS, packed_tokenizers, parsed_tokenizers
from tests.families import raw_bundles

pytest.importorskip("PIL", reason="images need pillow")
pytest.importorskip("sklearn", reason="learned image tokens need scikit-learn")
pytest.importorskip("tokenizers", reason="texts need tokenizers")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return raw_bundles.raw_adamf(tmp_path_factory)


@pytest.fixture(scope="module")
def model(folder: Path) -> Iterator[Model]:
    with Model.load(folder / "bundle", device="cpu") as opened:
        yield opened


def test_every_entity_has_the_features_of_the_training_data(folder: Path, model: Model) -> None:
    raw, tokenized = read_dataset(folder / "raw"), read_dataset(folder / "data")
    files = find_entity_images(folder / "raw" / "images", raw)
    texts = [raw.descriptions.get(label) for label in model.entities]
    found = entity_batch(model.bundle, texts=texts, images=[files.get(label) for label in model.entities]).arrays
    for name in ("visual", "text"):
        wanted = modality_features(tokenized, name)
        np.testing.assert_array_equal(found[f"{name}_features"], wanted.vectors)
        np.testing.assert_array_equal(found[f"{name}_mask"], ~wanted.present)
        assert wanted.present.any()


def test_a_new_entity_in_words_has_the_vector_of_its_features(folder: Path, model: Model) -> None:
    flag = folder / "raw" / "images" / "Norway.png"
    given = {"texts": ["A country in the north of Europe.", None], "images": [None, flag]}
    vectors = model.encode_entities(**given)
    arrays = entity_batch(model.bundle, **given).arrays
    features = {name: arrays[f"{name}_features"] for name in ("visual", "text")}
    masks = {name: arrays[f"{name}_mask"] for name in ("visual", "text")}
    assert (masks["visual"].tolist(), masks["text"].tolist()) == ([True, False], [False, True])
    np.testing.assert_array_equal(vectors, model.encode_entities(features=features, masks=masks))
    assert not np.allclose(vectors[0], vectors[1], atol=1e-4)
    with pytest.raises(QueryError, match="visual features are given, and what they would be made of, too"):
        model.encode_entities(images=[flag], features={"visual": features["visual"][:1]})


def test_an_entity_given_as_a_trained_one_was_is_encoded_as_that_where_features_were_kept(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    for train_features in (False, True):
        folder = raw_bundles.raw_adamf(tmp_path_factory, train_features=train_features)
        with Model.load(folder / "bundle", device="cpu") as model:
            raw = read_dataset(folder / "raw")
            row = model.entities.find("Norway")
            assert row is not None
            model.add_entities(
                ["Norway again"],
                texts=[raw.descriptions["Norway"]],
                images=[folder / "raw" / "images" / "Norway.png"],
                structure=model.bundle.inputs["structure"][row : row + 1],
            )
            own, again = model.entity_vectors("Norway"), model.entity_vectors("Norway again")
            assert np.allclose(again, own, rtol=1e-4, atol=1e-6) == (not train_features)
            explained = [model.explain_entity(label).modalities for label in ("Norway", "Norway again")]
            assert (explained[0] == pytest.approx(explained[1], rel=1e-4)) == (not train_features)


def test_a_bundle_of_ready_made_features_takes_no_words(golden_bundles) -> None:
    with (
        Model.load(golden_bundles("db15k_like", "fp32", "adamf_mat"), device="cpu") as own,
        pytest.raises(QueryError, match="does not hold what made its text tokens"),
    ):
        own.encode_entities(texts=["a word"])


def test_codebooks_that_do_not_fit_are_refused(folder: Path) -> None:
    bundle = Bundle.open(folder / "bundle")
    tokenizers = parsed_tokenizers(bundle.files[TOKENIZERS], bundle.path)
    size = tokenizers["text"].size
    for codebook, reason in (
        (np.ones((size, 3), np.float32), "3 wide, its features are"),
        (np.full((size, 32), np.nan, np.float32), "expected finite float32"),
        (np.ones((size + 1, 32), np.float32), "tokens, the codebook"),
        (np.ones(size, np.float32), "expected finite float32"),
    ):
        content = memoryview(packed_tokenizers({"text": tokenizers["text"]}, {"text": codebook}))
        other = dataclasses.replace(bundle, files={**bundle.files, TOKENIZERS: content}, made={})
        with pytest.raises(BundleError, match=reason):
            check_bundle(other)
