"""Top-k and filtered ranks against plain loops, and against the authors' ranks where many scores tie."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mmkg_sdk.ranking.exact
from mmkg_sdk import BackendError
from mmkg_sdk.evaluation.link_prediction import rank_metrics
from mmkg_sdk.ranking.exact import RankingProtocol, filtered_ranks, top_k
from mmkg_sdk.ranking.known_triples import AnswerLists
from mmkg_sdk.ranking.scores import InnerProduct
from tests.families.mygo.cases import MYGO_CASES, golden_case

INNER = InnerProduct()
FLOOR = RankingProtocol("floor")


def answer_lists(rows: list[set[int]]) -> AnswerLists:
    offsets = np.cumsum([0, *(len(row) for row in rows)]).astype(np.int64)
    return AnswerLists(offsets, np.array([i for row in rows for i in sorted(row)], dtype=np.int64))


@st.composite
def questions(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int, list[set[int]]]:
    """Queries, table, k and excluded rows. Small whole numbers make many scores tie, exactly."""
    batch, candidates, width = draw(st.integers(0, 4)), draw(st.integers(1, 30)), draw(st.integers(1, 3))
    numbers = st.integers(-2, 2)
    queries = draw(st.lists(numbers, min_size=batch * width, max_size=batch * width))
    table = draw(st.lists(numbers, min_size=candidates * width, max_size=candidates * width))
    excluded = [draw(st.sets(st.integers(0, candidates - 1))) for _ in range(batch)]
    return (
        np.array(queries, np.float32).reshape(batch, width),
        np.array(table, np.float32).reshape(candidates, width),
        draw(st.integers(1, candidates + 5)),
        excluded,
    )


@settings(deadline=None, max_examples=300)
@given(questions(), st.integers(1, 31))
def test_top_k_is_a_full_sort_with_ties_by_id_whatever_the_block(
    question: tuple[np.ndarray, np.ndarray, int, list[set[int]]], block: int
) -> None:
    queries, table, k, excluded = question
    whole = mmkg_sdk.ranking.exact.CANDIDATE_BLOCK
    mmkg_sdk.ranking.exact.CANDIDATE_BLOCK = block
    try:
        found = top_k(queries, table, k, answer_lists(excluded), INNER)
    finally:
        mmkg_sdk.ranking.exact.CANDIDATE_BLOCK = whole
    assert found.offsets[0] == 0
    assert len(found.offsets) == len(queries) + 1
    for row, query in enumerate(queries):
        scores = [float(sum(a * b for a, b in zip(query, vector, strict=True))) for vector in table]
        free = [i for i in range(len(table)) if i not in excluded[row]]
        expected = sorted(free, key=lambda i: (-scores[i], i))[:k]
        part = slice(found.offsets[row], found.offsets[row + 1])
        assert found.ids[part].tolist() == expected
        assert found.scores[part].tolist() == [scores[i] for i in expected]
    assert (found.ids.dtype, found.scores.dtype) == (np.int64, np.float32)


def test_top_k_without_exclusions_and_with_more_than_there_are() -> None:
    found = top_k(np.ones((2, 1), np.float32), np.array([[1], [3], [3]], np.float32), 10, None, INNER)
    assert found.offsets.tolist() == [0, 3, 6]
    assert found.ids.tolist() == [1, 2, 0] * 2


def test_top_k_of_nothing_is_nothing() -> None:
    found = top_k(np.empty((0, 2), np.float32), np.zeros((3, 2), np.float32), 2, None, INNER)
    assert (found.offsets.tolist(), len(found.ids)) == ([0], 0)


def test_when_all_candidates_tie_no_more_than_k_of_a_block_are_kept() -> None:
    rows, columns = mmkg_sdk.ranking.exact._best(np.zeros((2, 1000), np.float32), 3)
    assert rows.tolist() == [0, 0, 0, 1, 1, 1]
    assert columns.tolist() == [0, 1, 2] * 2


def test_a_nan_score_is_an_error_and_never_sorted() -> None:
    table = np.ones((5, 2), np.float32)
    table[3, 1] = np.nan
    with pytest.raises(BackendError, match="a score is NaN"):
        top_k(np.ones((2, 2), np.float32), table, 2, None, INNER)
    with pytest.raises(BackendError, match="a score is NaN"):
        filtered_ranks(np.array([[1, np.nan, 2]], np.float32), np.array([1]), answer_lists([set()]), FLOOR)


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_filtered_ranks_are_those_of_a_plain_loop(data: st.DataObject) -> None:
    batch, candidates = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 12))
    scores = [[data.draw(st.integers(0, 3)) for _ in range(candidates)] for _ in range(batch)]
    targets = [data.draw(st.integers(0, candidates - 1)) for _ in range(batch)]
    known = [data.draw(st.sets(st.integers(0, candidates - 1))) for _ in range(batch)]
    found = filtered_ranks(np.array(scores, np.float32), np.array(targets), answer_lists(known), FLOOR)
    for row in range(batch):
        better = equal = 0
        for candidate in range(candidates):
            if candidate == targets[row] or candidate in known[row]:
                continue
            better += scores[row][candidate] > scores[row][targets[row]]
            equal += scores[row][candidate] == scores[row][targets[row]]
        assert found.published[row] == 1 + better + equal // 2
        assert found.realistic[row] == 1 + better + equal / 2


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_the_other_protocols_are_those_of_a_sort(data: st.DataObject) -> None:
    """Optimistic: nothing of equal score stands before the target. Stable: a stable descending sort, with 100 taken off
    the other known answers, as in MKGformer's evaluation."""
    candidates = data.draw(st.integers(1, 12))
    # Scores far apart, so that 100 less may bring a known answer level with the target or leave it before.
    scores = np.array(
        [[data.draw(st.sampled_from([-100, 0, 1, 100, 101, 200])) for _ in range(candidates)]], np.float32
    )
    target = data.draw(st.integers(0, candidates - 1))
    known = data.draw(st.sets(st.integers(0, candidates - 1)))
    left_out = np.array([i in known and i != target for i in range(candidates)])
    optimistic = filtered_ranks(scores, np.array([target]), answer_lists([known]), RankingProtocol("optimistic"))
    assert optimistic.published[0] == 1 + np.count_nonzero(scores[0][~left_out] > scores[0, target])
    stable = filtered_ranks(scores, np.array([target]), answer_lists([known]), RankingProtocol("stable", 100.0))
    order = np.argsort(-(scores[0] - 100 * left_out), kind="stable")
    assert stable.published[0] == 1 + np.flatnonzero(order == target)[0]


@pytest.mark.parametrize("name", MYGO_CASES)
def test_ranks_with_many_ties_equal_the_official_ones(name: str) -> None:
    case = golden_case(name)
    known = answer_lists([{i for i in row if i >= 0} for row in case.inputs["tie_filter"].tolist()])
    ranks = filtered_ranks(case.inputs["tie_scores"], case.inputs["tie_target"], known, FLOOR).published
    np.testing.assert_array_equal(ranks, case.outputs["tie_ranks"])
    metrics = rank_metrics(ranks)
    names = ["mean_rank", "mrr", "hits_at_10", "hits_at_3", "hits_at_1"]
    np.testing.assert_allclose([metrics[name] for name in names], case.outputs["tie_metrics"], rtol=1e-6)
