"""Predictions: a sequence of rankings, in words, JSON and tables."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mmkg_sdk.answering.answers.predictions import Predictions
from mmkg_sdk.files.labels import Labels
from mmkg_sdk.ranking.exact import TopK
from mmkg_sdk.ranking.known_triples import HEAD, TAIL, KnownTriples, Queries

ENTITIES = Labels(["Oslo", "Bergen", "Trondheim", "Norway", "Sweden", "<b>"])
RELATIONS = Labels(["capital", "near"], kind="relation")


def predictions_of(
    answers: list[list[tuple[int, float]]],
    asked: list[tuple[int, int, int]],
    known: list[list[int]] | None = None,
    candidates: np.ndarray | None = None,
) -> Predictions:
    flat = [answer for ranking in answers for answer in ranking]
    top = TopK(
        np.cumsum([0, *map(len, answers)]),
        np.array([number for number, _ in flat], np.int64),
        np.array([score for _, score in flat], np.float32),
    )
    index = None
    if known is not None:
        triples = [
            (entity, relation, i) if direction == TAIL else (i, relation, entity)
            for (entity, relation, direction), found in zip(asked, known, strict=True)
            for i in found
        ]
        index = KnownTriples(np.array(triples, np.int64).reshape(-1, 3))
    queries = Queries(*np.array(asked, np.int64).reshape(-1, 3).T)
    return Predictions(top, queries, index, candidates, ENTITIES, RELATIONS, 2)


@pytest.fixture
def predictions() -> Predictions:
    return predictions_of(
        [[(1, 2.5), (0, -1.0)], [], [(2, 0.125)]],
        [(3, 0, TAIL), (0, 1, HEAD), (5, 1, HEAD)],
        [[0], [0, 1, 2, 3, 4], []],
    )


def test_predictions_are_a_sequence_of_rankings(predictions: Predictions) -> None:
    assert len(predictions) == 3
    assert [ranking.labels for ranking in predictions] == [("Bergen", "Oslo"), (), ("Trondheim",)]
    assert predictions[-1].query == "(?, near, <b>)"
    assert predictions[np.int64(0)].labels == ("Bergen", "Oslo")  # type: ignore[call-overload]
    assert [len(ranking) for ranking in predictions[1:]] == [0, 1]
    with pytest.raises(IndexError):
        predictions[3]


def test_a_ranking_gives_labels_with_scores_best_first(predictions: Predictions) -> None:
    assert list(predictions[0]) == [("Bergen", 2.5), ("Oslo", -1.0)]
    assert predictions[0].ids.tolist() == [1, 0]
    assert predictions[0] != predictions[0].labels


def test_a_ranking_names_what_was_given_and_which_side_is_asked_for(predictions: Predictions) -> None:
    tails, heads, _ = predictions
    assert (tails.head, tails.relation, tails.tail, tails.direction) == ("Norway", "capital", None, "tail")
    assert (heads.head, heads.relation, heads.tail, heads.direction) == (None, "near", "Oslo", "head")


def test_a_ranking_reads_well_and_says_what_was_left_out(predictions: Predictions) -> None:
    assert repr(predictions[0]) == (
        "(Norway, capital, ?)\n   1. Bergen     2.5000\n   2. Oslo      -1.0000\n  (1 known answer left out: Oslo)"
    )
    assert repr(predictions[1]) == (
        "(?, near, Oslo)\n  (no candidate left)\n  (5 known answers left out: Oslo, Bergen, Trondheim, ...)"
    )
    assert repr(predictions[2]) == "(?, near, <b>)\n   1. Trondheim     0.1250"


def test_many_predictions_have_a_short_repr() -> None:
    many = predictions_of([[(0, 1.0)]] * 100, [(3, 0, TAIL)] * 100)
    assert repr(many).endswith("... 95 more queries")
    assert many._repr_html_().endswith("<p>... 95 more queries</p>")


def test_json_holds_plain_numbers_and_words(predictions: Predictions) -> None:
    assert json.loads(json.dumps(predictions.to_json()))[0] == {
        "query": "(Norway, capital, ?)",
        "head": "Norway",
        "relation": "capital",
        "tail": None,
        "direction": "tail",
        "known": ["Oslo"],
        "answers": [{"id": 1, "label": "Bergen", "score": 2.5}, {"id": 0, "label": "Oslo", "score": -1.0}],
    }


def test_a_table_has_one_row_per_answer_with_its_triple(predictions: Predictions) -> None:
    names = ["number", "query", "head", "relation", "tail", "direction", "rank", "id", "label", "score"]
    rows = [
        [0, "(Norway, capital, ?)", "Norway", "capital", "Bergen", "tail", 1, 1, "Bergen", 2.5],
        [0, "(Norway, capital, ?)", "Norway", "capital", "Oslo", "tail", 2, 0, "Oslo", -1.0],
        [2, "(?, near, <b>)", "Trondheim", "near", "<b>", "head", 1, 2, "Trondheim", 0.125],
    ]
    pytest.importorskip("pandas", reason="pandas is not installed")
    assert predictions.to_pandas().columns.tolist() == names
    assert predictions.to_pandas().values.tolist() == rows
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    assert predictions.to_arrow().to_pylist() == [dict(zip(names, row, strict=True)) for row in rows]


def test_a_large_table_says_what_its_rankings_say() -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    random = np.random.default_rng(0)
    asked = [tuple(row) for row in (random.integers(0, (6, 2, 2), (500, 3))).tolist()]
    answers = [
        [(number, float(np.float32(score))) for number, score in zip(ids, random.normal(size=len(ids)), strict=True)]
        for ids in (random.permutation(6)[: random.integers(0, 7)].tolist() for _ in asked)
    ]
    many = predictions_of(answers, asked)
    expected = [
        {
            "number": number,
            "query": ranking.query,
            "head": ranking.head or label,
            "relation": ranking.relation,
            "tail": ranking.tail or label,
            "direction": ranking.direction,
            "rank": place,
            "id": ENTITIES.find(label),
            "label": label,
            "score": score,
        }
        for number, ranking in enumerate(many)
        for place, (label, score) in enumerate(ranking, start=1)
    ]
    assert many.to_arrow().to_pylist() == expected


def test_no_queries_give_no_predictions() -> None:
    none = predictions_of([], [])
    assert len(none) == 0
    assert list(none) == []
    assert none.to_json() == []
