"""Top-k of the compiled kernels against a full sort of scores that float32 holds exactly, and against float64."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmkg_sdk.backends.tables import NumpyRanking
from mmkg_sdk.kernels import Scan, instruction_sets
from mmkg_sdk.ranking.known_triples import AnswerLists
from mmkg_sdk.ranking.scores import CandidateScore, ComplexDistance, InnerProduct

from .conftest import OpenScan, storage_of
from .references.canonical import answer_lists, as_lists, canonical, plain_top_k

SCORES = [InnerProduct(), ComplexDistance(6.0)]
# One below, at and above: vectors of 8 and 16 queries, panels of 16 and 32, small batches of 2, 4 and 8.
BATCHES = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 24, 25, 31, 32, 33, 65]
# The same for tiles of 2, 4, 6 and 12 rows, four rows at a time, and primes.
SIZES = [1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 23, 24, 25, 61, 64, 65, 127, 513]
WIDTHS = [2, 4, 6, 14, 16, 18, 30, 32, 34, 62, 64, 66, 130, 514]


def whole_numbers(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Inner products and distances of these are exact in float32 along one axis, and many of them tie."""
    return rng.integers(-2, 3, shape).astype(np.float32)


def exact_vectors(rng: np.random.Generator, score: CandidateScore, rows: int, width: int) -> np.ndarray:
    """For distances the imaginary parts are 0: the moduli are whole numbers, so every score is exact."""
    vectors = whole_numbers(rng, rows, width)
    if isinstance(score, ComplexDistance):
        vectors[:, width // 2 :] = 0
    return vectors


def exact_scores(score: CandidateScore, queries: np.ndarray, table: np.ndarray) -> np.ndarray:
    if isinstance(score, InnerProduct):
        return queries.astype(np.float64) @ table.astype(np.float64).T
    return score.margin - np.abs(queries[:, None].astype(np.float64) - table[None]).sum(axis=2)


def draw_lists(rng: np.random.Generator, batch: int, rows: int) -> list[list[int]]:
    return [np.flatnonzero(rng.random(rows) < rng.choice([0.0, 0.1, 0.6])).tolist() for _ in range(batch)]


@pytest.mark.parametrize("score", SCORES, ids=["inner product", "distance"])
def test_answers_are_those_of_a_full_sort_at_every_edge(score: CandidateScore, open_scan: OpenScan) -> None:
    rng = np.random.default_rng(0)
    for case in range(90):
        rows, width, batch = SIZES[case % 18], WIDTHS[case % 14], BATCHES[case % 17]
        table, queries = exact_vectors(rng, score, rows, width), exact_vectors(rng, score, batch, width)
        excluded = draw_lists(rng, batch, rows)
        k = int(rng.choice([1, 2, 10, rows, rows + 3]))
        candidates = np.flatnonzero(rng.random(rows) < 0.5) if case % 3 == 0 else None
        scan = open_scan(table, score, 1 + case % 3)
        found = scan.top_k(queries, k, answer_lists(excluded), candidates)
        scores = exact_scores(score, queries, table)
        assert as_lists(found.offsets, found.ids) == plain_top_k(scores, k, excluded, candidates)
        np.testing.assert_array_equal(
            found.scores, scores[np.repeat(np.arange(batch), np.diff(found.offsets)), found.ids]
        )


@pytest.mark.parametrize("score", SCORES, ids=["inner product", "distance"])
def test_real_numbers_give_the_answers_of_float64_and_the_same_bits_everywhere(score: CandidateScore) -> None:
    rng = np.random.default_rng(1)
    for rows, width, batch, k in ((3001, 70, 40, 10), (1499, 256, 33, 100), (700, 500, 5, 1000), (4000, 18, 1, 1024)):
        table = rng.standard_normal((rows, width)).astype(np.float32)
        queries = rng.standard_normal((batch, width)).astype(np.float32)
        wide = score(queries.astype(np.float64), table.astype(np.float64))  # type: ignore[arg-type]
        first = None
        for name in instruction_sets():
            for threads in (1, 2, 3):
                found = Scan(table, score, threads, name, storage_of(name, score)).top_k(queries, k)
                if first is None:
                    first = found
                    ids = found.ids.reshape(batch, -1)
                    # Where float64 is sure of the order, so are we.
                    slack = 1e-5 * np.abs(wide).max()
                    best = -np.sort(-wide, axis=1)[:, : ids.shape[1]]
                    chosen = np.take_along_axis(wide, ids, axis=1)
                    np.testing.assert_allclose(chosen, best, rtol=0, atol=slack)
                    np.testing.assert_allclose(found.scores.reshape(batch, -1), chosen, rtol=0, atol=slack)
                    np.testing.assert_array_equal(
                        found.scores, Scan(table, score).pairs(np.repeat(queries, ids.shape[1], axis=0), found.ids)
                    )
                np.testing.assert_array_equal(found.ids, first.ids)
                np.testing.assert_array_equal(found.scores.view(np.int32), first.scores.view(np.int32))


@pytest.mark.parametrize("score", SCORES, ids=["inner product", "distance"])
@pytest.mark.parametrize("width", [2, 4, 30, 32, 34, 64, 66, 250, 514])
def test_pair_scores_are_the_canonical_ones_to_the_bit(score: CandidateScore, width: int, open_scan: OpenScan) -> None:
    rng = np.random.default_rng(width)
    # Eighths and sixteenths: products and squares have few bits, their sums are rounded.
    table = (rng.integers(-(2**11), 2**11, (9, width)) / 16).astype(np.float32)
    queries = (rng.integers(-(2**11), 2**11, (9, width)) / 8).astype(np.float32)
    found = open_scan(table, score, 1).pairs(queries, np.arange(9))
    expected = [canonical(score, query, row) for query, row in zip(queries, table, strict=True)]
    np.testing.assert_array_equal(found.view(np.int32), np.array(expected, np.float32).view(np.int32))


@st.composite
def questions(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int, list[list[int]], np.ndarray | None]:
    """Queries, table, k, excluded rows and candidates; small whole numbers make many scores tie, exactly."""
    batch, rows, width = draw(st.integers(0, 20)), draw(st.integers(1, 40)), 2 * draw(st.integers(1, 2))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    ids = st.sets(st.integers(0, rows - 1))
    excluded = [sorted(draw(ids)) for _ in range(batch)]
    candidates = draw(st.none() | ids.map(lambda chosen: np.array(sorted(chosen), np.int64)))
    k = draw(st.integers(1, rows + 5))
    return whole_numbers(rng, batch, width), whole_numbers(rng, rows, width), k, excluded, candidates


@settings(deadline=None, max_examples=150)
@given(questions(), st.sampled_from(instruction_sets() or ["none"]), st.integers(1, 3))
def test_exclusions_subsets_and_ties_are_those_of_numpy(
    question: tuple[np.ndarray, np.ndarray, int, list[list[int]], np.ndarray | None], name: str, threads: int
) -> None:
    queries, table, k, excluded, candidates = question
    scan = Scan(table, InnerProduct(), threads, name, storage_of(name, InnerProduct()))
    found = scan.top_k(queries, k, answer_lists(excluded), candidates)
    expected = NumpyRanking(table, InnerProduct()).top_k(queries, k, answer_lists(excluded), candidates)
    np.testing.assert_array_equal(found.offsets, expected.offsets)
    np.testing.assert_array_equal(found.ids, expected.ids)
    np.testing.assert_array_equal(found.scores, expected.scores)


@pytest.mark.parametrize("score", SCORES, ids=["inner product", "distance"])
def test_identical_rows_come_in_the_order_of_their_ids(score: CandidateScore, open_scan: OpenScan) -> None:
    rng = np.random.default_rng(2)
    table = np.repeat(rng.standard_normal((1, 34)).astype(np.float32), 700, axis=0)
    for batch in (1, 40):
        found = open_scan(table, score, 2).top_k(rng.standard_normal((batch, 34)).astype(np.float32), 50)
        np.testing.assert_array_equal(found.ids.reshape(batch, 50), np.tile(np.arange(50), (batch, 1)))


def test_a_table_sorted_by_score_costs_time_but_no_answer(open_scan: OpenScan) -> None:
    table = np.arange(5000, dtype=np.float32)[:, None] * np.ones((1, 4), np.float32)
    found = open_scan(table, InnerProduct(), 2).top_k(np.ones((33, 4), np.float32), 3)
    np.testing.assert_array_equal(found.ids.reshape(33, 3), np.tile([4999, 4998, 4997], (33, 1)))


def test_everything_excluded_and_nothing_asked_give_nothing(open_scan: OpenScan) -> None:
    scan = open_scan(np.ones((5, 4), np.float32), InnerProduct(), 2)
    everything = AnswerLists(np.array([0, 5, 10]), np.tile(np.arange(5), 2))
    assert len(scan.top_k(np.ones((2, 4), np.float32), 3, everything).ids) == 0
    assert scan.top_k(np.empty((0, 4), np.float32), 3).offsets.tolist() == [0]
    assert scan.top_k(np.ones((2, 4), np.float32), 3, None, np.empty(0, np.int64)).offsets.tolist() == [0, 0, 0]
    empty = open_scan(np.empty((0, 4), np.float32), InnerProduct(), 2)
    assert empty.top_k(np.ones((2, 4), np.float32), 3).offsets.tolist() == [0, 0, 0]


def test_the_smallest_and_the_largest_width(open_scan: OpenScan) -> None:
    rng = np.random.default_rng(3)
    for width in (1, 1 << 20):
        table, queries = whole_numbers(rng, 3, width), whole_numbers(rng, 1, width)
        found = open_scan(table, InnerProduct(), 1).top_k(queries, 3)
        assert as_lists(found.offsets, found.ids) == plain_top_k(exact_scores(InnerProduct(), queries, table), 3, [[]])
