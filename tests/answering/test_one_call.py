"""A model answers in one call of the library where it can, and as it does step by step."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mmkg_sdk
from mmkg_sdk import BackendError, Model
from mmkg_sdk.answering.answers.predictions import Predictions
from mmkg_sdk.answering.one_call import OneCall
from mmkg_sdk.kernels import AnswerCall, instruction_sets

pytestmark = pytest.mark.skipif(not instruction_sets(), reason="the compiled kernels are absent")


@pytest.fixture
def model(golden_bundle: Path) -> Iterator[Model]:
    with mmkg_sdk.load(golden_bundle, "auto", "cpu", threads=2) as opened:
        yield opened


def in_steps(model: Model, *asked: Any, **options: Any) -> Predictions:
    """What the model answers without the call."""
    call, model._one_call = model._one_call, OneCall(None)
    try:
        return model.predict_tails(*asked, **options)
    finally:
        model._one_call = call


def assert_same(found: Predictions, expected: Predictions) -> None:
    assert found.to_json() == expected.to_json()
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.scores.view(np.int32), other.scores.view(np.int32))


@pytest.mark.parametrize("filter_known", [None, True, False])
@pytest.mark.parametrize("candidates", [None, [30, 4, 4, 17], [], "entity 3"])
def test_it_answers_as_it_does_step_by_step(model: Model, candidates: Any, filter_known: bool | None) -> None:
    options = {"candidates": candidates, "filter_known": filter_known}
    for asked in (("entity 5", "relation 1"), (5, [0, 1, 2]), (np.arange(40), np.arange(40) % 7), ([], [])):
        for k in (1, 10, 99):
            assert_same(model.predict_tails(*asked, k=k, **options), in_steps(model, *asked, k=k, **options))


def test_no_step_is_taken_where_there_is_the_call(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Model, "_in_steps", None)
    monkeypatch.setattr(Model, "query_vectors", None)
    assert len(model.predict_tails(0, 0, k=3)[0]) == 3
    assert len(model.predict_heads(0, 0, k=3)[0]) == 3
    assert isinstance(model._one_call.of(model._entities.ranking), AnswerCall)


def test_where_a_graph_makes_queries_there_is_no_call(golden_bundle: Path) -> None:
    with mmkg_sdk.load(golden_bundle, "onnxruntime", "cpu", threads=1) as model:
        assert model._one_call.of(model._entities.ranking) is None


def test_entities_added_later_are_asked_about_and_are_answers(model: Model) -> None:
    before = model.predict_tails(3, 1, filter_known=False)
    (new,) = model.add_entities(["new"], visual_tokens=[[1, 2]], text_tokens=[[3]])
    everything = len(model.entities)
    for asked in ((3, 1), (int(new), 1), ([3, int(new)], 1)):
        found = model.predict_tails(*asked, k=everything, filter_known=False)
        assert_same(found, in_steps(model, *asked, k=everything, filter_known=False))
        assert all(new in ranking.ids for ranking in found)
    others = [label for label in model.predict_tails(3, 1, filter_known=False)[0].labels if label != "new"]
    assert others[:9] == list(before[0].labels[:9])


def test_a_closed_model_answers_nothing_and_answers_it_gave_stay(model: Model) -> None:
    found = model.predict_tails([0, 1], 0, k=3)
    model.close()
    with pytest.raises(BackendError, match="this model is closed"):
        model.predict_tails(0, 0)
    assert [len(ranking) for ranking in found] == [3, 3]


def test_many_threads_ask_one_model(model: Model) -> None:
    expected = [in_steps(model, i, i % 7, k=5) for i in range(20)]
    with ThreadPoolExecutor(8) as callers:
        for i, found in enumerate(callers.map(lambda i: model.predict_tails(i % 20, i % 20 % 7, k=5), range(200))):
            assert_same(found, expected[i % 20])


def test_predictions_travel_without_the_index(model: Model) -> None:
    found = model.predict_tails([0, 1, 2], [0, 1, 2], k=3)
    copy = pickle.loads(pickle.dumps(found))
    assert_same(copy, found)
    assert copy._known is None
