"""A table in segments answers as one table does, to the bit; and few segments are made when it grows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mmkg_sdk.backends.segments import SegmentedRanking, grown_ranking
from mmkg_sdk.backends.tables import HostRanking, host_ranking, plain_ranking, rank_table
from mmkg_sdk.errors import BackendError
from mmkg_sdk.kernels import library
from mmkg_sdk.ranking.exact import RankingProtocol
from mmkg_sdk.ranking.known_triples import AnswerLists
from mmkg_sdk.ranking.scores import CandidateScore, ComplexDistance, InnerProduct

WIDTH = 8


def lists(random: np.random.Generator, batch: int, rows: int) -> AnswerLists:
    chosen = [np.flatnonzero(random.random(rows) < 0.2) for _ in range(batch)]
    return AnswerLists(np.cumsum([0, *map(len, chosen)]), np.concatenate([np.empty(0, np.int64), *chosen]))


def grown(table: NDArray[np.float32], cuts: list[int], score: CandidateScore, plain: bool) -> SegmentedRanking:
    def make(rows: NDArray[np.float32]) -> HostRanking:
        return plain_ranking(rows, score) if plain else host_ranking(rows, score, threads=2, storage="float32")

    found: HostRanking | SegmentedRanking = make(table[: cuts[0]])
    for stop in [*cuts[1:], len(table)]:
        found = grown_ranking(found, cuts[0], table[cuts[0] : stop], make)
    assert isinstance(found, SegmentedRanking)
    return found


@pytest.mark.parametrize("plain", [False, True], ids=["kernels", "numpy"])
@settings(deadline=None, max_examples=60)
@given(st.data())
def test_segments_answer_as_one_table(plain: bool, data: st.DataObject) -> None:
    if not plain and isinstance(library(), str):
        pytest.skip("the library is not built")
    random = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    rows, batch = data.draw(st.integers(2, 60)), data.draw(st.integers(0, 4))
    score: CandidateScore = data.draw(st.sampled_from([InnerProduct(), ComplexDistance(3.0)]))
    # Small whole numbers: sums are exact, and many scores are equal.
    table, queries = (random.integers(-1, 2, (n, WIDTH)).astype(np.float32) for n in (rows, batch))
    cuts = sorted(data.draw(st.sets(st.integers(1, rows - 1), min_size=1, max_size=5)))
    excluded = data.draw(st.sampled_from([None, lists(random, batch, rows)]))
    some = np.flatnonzero(random.random(rows) < data.draw(st.sampled_from([0.05, 0.5, 1.0]))).astype(np.int64)
    candidates = data.draw(st.sampled_from([None, some]))
    k = data.draw(st.integers(1, rows + 3))
    one = plain_ranking(table, score) if plain else rank_table(table, score, threads=2)
    expected = one.top_k(queries, k, excluded, candidates)
    segments = grown(table, cuts, score, plain)
    found = segments.top_k(queries, k, excluded, candidates)
    for name in ("offsets", "ids", "scores"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), strict=True)
    known, targets = lists(random, batch, rows), random.integers(0, rows, batch)
    protocol = RankingProtocol(
        data.draw(st.sampled_from(["floor", "optimistic", "stable"])), data.draw(st.sampled_from([math.inf, 1.0]))
    )
    wanted, ranks = (way.ranks(queries, targets, known, protocol) for way in (one, segments))
    for name in ("published", "realistic"):
        np.testing.assert_array_equal(getattr(ranks, name), getattr(wanted, name), strict=True)


@pytest.mark.parametrize("score", [InnerProduct(), ComplexDistance(3.0)], ids=["product", "distance"])
def test_random_numbers_give_the_same_bits_in_segments(score: CandidateScore) -> None:
    if isinstance(library(), str):
        pytest.skip("the library is not built")
    random = np.random.default_rng(5)
    table, queries = (random.standard_normal((n, 32), np.float32) for n in (9000, 3))
    expected = rank_table(table, score, threads=2).top_k(queries, 50)
    found = grown(table, [4000, 4001, 8500], score, plain=False).top_k(queries, 50)
    np.testing.assert_array_equal(found.ids, expected.ids)
    assert found.scores.tobytes() == expected.scores.tobytes()
    known, targets = lists(random, 3, len(table)), np.array([0, 4000, 8999])
    table[[5, 4200, 8600]] = table[targets]  # ties in every segment
    whole, segments = rank_table(table, score, threads=2), grown(table, [4000, 4001, 8500], score, plain=False)
    for protocol in (RankingProtocol("floor"), RankingProtocol("stable", 0.5)):
        ranks, wanted = (way.ranks(queries, targets, known, protocol) for way in (segments, whole))
        np.testing.assert_array_equal(ranks.published, wanted.published)
        np.testing.assert_array_equal(ranks.realistic, wanted.realistic)


@pytest.mark.parametrize("plain", [False, True], ids=["kernels", "numpy"])
def test_ranks_in_segments_refuse_what_those_of_one_table_do(plain: bool) -> None:
    if not plain and isinstance(library(), str):
        pytest.skip("the library is not built")
    table, queries = np.ones((9, WIDTH), np.float32), np.ones((2, WIDTH), np.float32)
    nothing, protocol = AnswerLists(np.zeros(3, np.int64), np.empty(0, np.int64)), RankingProtocol("floor")
    segments = grown(table, [4, 6], InnerProduct(), plain)
    assert segments.ranks(queries, np.array([0, 8]), nothing, protocol).realistic.tolist() == [5.0, 5.0]
    for wrong in (-1, 9):
        with pytest.raises(BackendError, match="a target is out of range; expected rows 0 to 8"):
            segments.ranks(queries, np.array([3, wrong]), nothing, protocol)
    table[5, 2] = np.nan
    for target in (3, 5):
        with pytest.raises(BackendError, match="a score is NaN"):
            segments.ranks(queries, np.array([1, target]), nothing, protocol)


def test_rows_one_by_one_are_in_few_segments_and_few_are_made_anew() -> None:
    made = []

    class Rows:
        name, on_device = "rows", False

        def __init__(self, rows: NDArray[np.float32]) -> None:
            made.append(len(rows))
            self.rows = rows

    table = np.arange(100_000, dtype=np.float32)[:, None]
    found, stop, most = Rows(table[:5]), 5, 0
    for stop in range(6, len(table) + 1, 7):
        found = grown_ranking(found, 5, table[5:stop], Rows)  # type: ignore[arg-type, assignment]
        segments = found.segments  # type: ignore[attr-defined]
        assert [int(part.rows[0, 0]) for part in segments] == list(found.starts[:-1])  # type: ignore[attr-defined]
        assert sum(len(part.rows) for part in segments) == stop == found.starts[-1]  # type: ignore[attr-defined]
        most = max(most, len(segments))
    assert most <= 8
    assert sum(made) / len(made) < 2 * 4096, "rows that are read again for each growth"
