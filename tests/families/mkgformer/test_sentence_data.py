"""The public data sets of the sentence tasks on the whole path, with a tiny model of random weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mmkg_sdk
from mmkg_sdk.answering.relation_extraction import RelationMention
from mmkg_sdk.data.open import open_data
from mmkg_sdk.data.sentences import RelationData, TaggingData
from mmkg_sdk.evaluation.subjects import evaluate_path
from mmkg_sdk.export import export_bundle
from mmkg_sdk.families.mkgformer.inputs import check_data, config_for, run_data
from mmkg_sdk.families.mkgformer.sentences.scoring import relation_scores, tag_scores
from tests.families.mkgformer.sentence_bundles import TINY, random_run
from tests.places import REAL_DATA

DATA = REAL_DATA
VOCABULARY = DATA / "vocab" / "bert-base-uncased-vocab.txt.xz"


def real(name: str) -> Any:
    if not (DATA / name).is_dir() or not VOCABULARY.is_file():
        pytest.skip(f"{DATA / name} or the vocabulary beside it is not there")
    return open_data(DATA / name)


def few(data: Any) -> Any:
    """The first sentences of each split."""
    return replace(data, train=data.train[:6], valid=data.valid[:6], test=data.test[:40])


@pytest.mark.parametrize(
    ("name", "task", "num_labels", "max_length"),
    [("MNRE", "relation-extraction", 23, 80), ("Twitter-2017", "entity-recognition", 13, 128)],
)
def test_whole_data_sets_become_what_the_published_model_reads(
    name: str, task: str, num_labels: int, max_length: int
) -> None:
    data = real(name)
    config = config_for(data, {**TINY, "tokenizer": str(VOCABULARY), "max_length": max_length})
    assert (config.task, config.num_labels, config.base_vocabulary_size) == (task, num_labels, 30522)
    # The published training file is not read here again: sentences of all splits go the same way.
    made = run_data(replace(data, train=data.train[:500]), config)
    check_data(made, config)
    sentences = made.tensors["sentences-test"]
    assert sentences["input_ids"].shape == (len(data.test), max_length)
    assert (sentences["image_rows"] == -1).all()  # there are no pictures beside the public texts


def test_sentences_of_mnre_are_answered_alike_by_run_and_bundle(tmp_path: Path) -> None:
    data = few(real("MNRE"))
    assert isinstance(data, RelationData)
    run = random_run(data, tmp_path / "run", tokenizer=str(VOCABULARY), max_length=80)
    export_bundle(run, tmp_path / "bundle")
    model = _model(run)
    with mmkg_sdk.load(tmp_path / "bundle", device="cpu") as extractor:
        mentions = [RelationMention(one.words, one.head, one.tail) for one in data.test]
        found = extractor.score_relations(mentions)
        assert all(answer.label in data.relations for answer in extractor.extract_relations(mentions[:5]))
    np.testing.assert_allclose(found, relation_scores(model, run, "test", len(data.test)), rtol=1e-4, atol=1e-5)
    assert evaluate_path(run.folder, "test", device="cpu").to_json()["sentences"] == len(data.test)


def test_sentences_of_twitter_2017_are_tagged_alike_by_run_and_bundle(tmp_path: Path) -> None:
    data = few(real("Twitter-2017"))
    assert isinstance(data, TaggingData)
    run = random_run(data, tmp_path / "run", tokenizer=str(VOCABULARY), max_length=128)
    export_bundle(run, tmp_path / "bundle", precision="fp32")
    with mmkg_sdk.load(tmp_path / "bundle", device="cpu") as tagger:
        _, tags = tagger.tag_words([one.words for one in data.test])
        answers = tagger.tag([one.words for one in data.test])
        assert all(entity.text == answer.sentence[slice(*entity.characters)] for answer in answers for entity in answer)
    np.testing.assert_array_equal(tags, tag_scores(_model(run), run, "test", len(data.test)))
    assert evaluate_path(run.folder, "test", device="cpu").to_json()["sentences"] == len(data.test)


def _model(run: Any) -> Any:
    from mmkg_sdk.families.mkgformer.model import build

    model = build(run.config, run.inputs)
    model.load_state_dict(run.weights())
    return model
