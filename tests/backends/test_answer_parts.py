"""Answers that come in parts are those that come at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mmkg_sdk.backends import tables
from mmkg_sdk.backends.answer_parts import appended, chosen, merged_lists, spread
from mmkg_sdk.backends.tables import GpuRanking, NumpyRanking
from mmkg_sdk.ranking.exact import TopK
from mmkg_sdk.ranking.known_triples import AnswerLists
from mmkg_sdk.ranking.scores import InnerProduct


class FewAtATime(NumpyRanking):
    """numpy's ranking, which here refuses more answers than a GPU's kernels give."""

    def top_k(self, queries: Any, k: int, *arguments: Any) -> TopK:  # type: ignore[override]
        assert k <= tables.MAX_K
        excluded, candidates, stream = arguments
        assert stream == 5
        return super().top_k(queries, k, excluded, candidates)


@pytest.mark.parametrize("most", [1, 3, 4, 30])
@pytest.mark.parametrize("k", [1, 4, 9, 23, 40])
def test_parts_of_any_size_give_the_same_answers(most: int, k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(k)
    table = rng.integers(-1, 2, (23, 3)).astype(np.float32)  # with ties
    queries = rng.integers(-1, 2, (6, 3)).astype(np.float32)
    lists = [sorted(rng.choice(23, size, replace=False).tolist()) for size in (0, 1, 5, 0, 23, 20)]
    excluded = AnswerLists(np.cumsum([0, *map(len, lists)]), np.array([id for row in lists for id in row], np.int64))
    monkeypatch.setattr(tables, "MAX_K", most)
    ranking = GpuRanking(FewAtATime(table, InnerProduct()), "cuda")  # type: ignore[arg-type]
    for hidden in (None, excluded):
        for candidates in (None, np.array([0, 2, 3, 7, 11, 20])):
            found = ranking.top_k(queries, k, hidden, candidates, 5)
            expected = NumpyRanking(table, InnerProduct()).top_k(queries, k, hidden, candidates)
            np.testing.assert_array_equal(found.offsets, expected.offsets)
            np.testing.assert_array_equal(found.ids, expected.ids)
            np.testing.assert_array_equal(found.scores, expected.scores)


def test_lists_are_merged_ascending_and_answers_put_behind_each_other() -> None:
    best = TopK(np.array([0, 2, 2]), np.array([7, 1]), np.array([2, 1], np.float32))
    more = TopK(np.array([0, 1, 2]), np.array([4, 0]), np.array([0, 3], np.float32))
    both = appended(best, more)
    assert (both.offsets.tolist(), both.ids.tolist(), both.scores.tolist()) == ([0, 3, 4], [7, 1, 4, 0], [2, 1, 0, 3])
    merged = merged_lists(AnswerLists(np.array([0, 1, 2]), np.array([3, 9])), best)
    assert (merged.offsets.tolist(), merged.ids.tolist()) == ([0, 3, 4], [1, 3, 7, 9])
    assert merged_lists(None, best).ids.tolist() == [1, 7]


def test_some_queries_are_taken_out_and_put_back() -> None:
    lists = AnswerLists(np.array([0, 2, 2, 3, 6]), np.array([4, 9, 1, 0, 5, 7]))
    queries = np.array([0, 3])
    some = chosen(lists, queries)
    assert (some.offsets.tolist(), some.ids.tolist()) == ([0, 2, 5], [4, 9, 0, 5, 7])
    found = TopK(some.offsets, some.ids, np.arange(5, dtype=np.float32))
    all_of_them = spread(found, queries, 4)
    assert all_of_them.offsets.tolist() == [0, 2, 2, 2, 5]
    others = TopK(np.array([0, 0, 1, 2, 2]), np.array([3, 8]), np.array([7, 6], np.float32))
    both = appended(others, all_of_them)
    assert (both.offsets.tolist(), both.ids.tolist()) == ([0, 2, 3, 4, 7], [4, 9, 3, 8, 0, 5, 7])
