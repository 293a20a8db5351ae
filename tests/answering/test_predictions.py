"""Predictions: a sequence of rankings, in words, JSON and tables."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mmkg_sdk.answering.predictions import Predictions
from mmkg_sdk.files.labels import Labels
from mmkg_sdk.ranking.exact import TopK

ENTITIES = Labels(["Oslo", "Bergen", "Trondheim"])


@pytest.fixture
def predictions() -> Predictions:
    top = TopK(np.array([0, 2, 2, 3]), np.array([1, 0, 2]), np.array([2.5, -1, 0.125], np.float32))
    return Predictions(top, ENTITIES, ["(Norway, capital, ?)", "(?, empty, Oslo)", "(a, b, ?)"], 2)


def test_predictions_are_a_sequence_of_rankings(predictions: Predictions) -> None:
    assert len(predictions) == 3
    assert [ranking.labels for ranking in predictions] == [("Bergen", "Oslo"), (), ("Trondheim",)]
    assert predictions[-1].query == "(a, b, ?)"
    assert predictions[np.int64(0)].labels == ("Bergen", "Oslo")  # type: ignore[call-overload]
    assert [len(ranking) for ranking in predictions[1:]] == [0, 1]
    with pytest.raises(IndexError):
        predictions[3]


def test_a_ranking_gives_labels_with_scores_best_first(predictions: Predictions) -> None:
    assert list(predictions[0]) == [("Bergen", 2.5), ("Oslo", -1.0)]
    assert predictions[0].ids.tolist() == [1, 0]
    assert predictions[0] != predictions[0].labels


def test_a_ranking_reads_well(predictions: Predictions) -> None:
    assert repr(predictions[0]) == "(Norway, capital, ?)\n   1. Bergen     2.5000\n   2. Oslo      -1.0000"
    assert repr(predictions[1]) == "(?, empty, Oslo)\n  (no candidate left)"
    assert repr(predictions).count("\n") == 6


def test_many_predictions_have_a_short_repr() -> None:
    top = TopK(np.arange(101), np.zeros(100, np.int64), np.zeros(100, np.float32))
    text = repr(Predictions(top, ENTITIES, [f"query {i}" for i in range(100)], 1))
    assert text.endswith("... 95 more queries")


def test_json_holds_plain_numbers_and_words(predictions: Predictions) -> None:
    assert json.loads(json.dumps(predictions.to_json()))[0] == {
        "query": "(Norway, capital, ?)",
        "answers": [{"id": 1, "label": "Bergen", "score": 2.5}, {"id": 0, "label": "Oslo", "score": -1.0}],
    }


def test_a_data_frame_has_one_row_per_answer(predictions: Predictions) -> None:
    pytest.importorskip("pandas", reason="pandas is not installed")
    frame = predictions.to_pandas()
    assert frame.columns.tolist() == ["query", "rank", "id", "label", "score"]
    assert frame.values.tolist() == [
        ["(Norway, capital, ?)", 1, 1, "Bergen", 2.5],
        ["(Norway, capital, ?)", 2, 0, "Oslo", -1.0],
        ["(a, b, ?)", 1, 2, "Trondheim", 0.125],
    ]


def test_no_queries_give_no_predictions() -> None:
    none = Predictions(TopK(np.zeros(1, np.int64), np.empty(0, np.int64), np.empty(0, np.float32)), ENTITIES, [], 3)
    assert len(none) == 0
    assert list(none) == []
    assert none.to_json() == []
