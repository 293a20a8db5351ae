"""Arrays that are odd, numbers that are not numbers, arguments that do not fit."""

from __future__ import annotations

import ctypes
import math

import numpy as np
import pytest

from mmkg_sdk import BackendError
from mmkg_sdk.kernels import Scan
from mmkg_sdk.kernels.library import loaded_library
from mmkg_sdk.ranking.exact import RankingProtocol
from mmkg_sdk.ranking.known_triples import AnswerLists
from mmkg_sdk.ranking.scores import CandidateScore, ComplexDistance, InnerProduct

from .conftest import OpenScan
from .references.canonical import answer_lists, as_lists, plain_ranks, plain_top_k
from .test_top_k import SCORES

FLOOR = RankingProtocol("floor")
BATCHES = (1, 40)


def settled_scores(scan: Scan, queries: np.ndarray, rows: int) -> np.ndarray:
    """The canonical score of every pair, without any first pass."""
    ids = np.tile(np.arange(rows), len(queries))
    return scan.pairs(np.repeat(queries, rows, axis=0), ids).reshape(len(queries), rows)


def assert_settled(table: np.ndarray, queries: np.ndarray, score: CandidateScore, open_scan: OpenScan) -> None:
    """Top-k and ranks are what the canonical scores say."""
    scan = open_scan(table, score, 2)
    scores = settled_scores(scan, queries, len(table))
    found = scan.top_k(queries, 9)
    assert as_lists(found.offsets, found.ids) == plain_top_k(scores, 9, [[]] * len(queries))
    targets = np.arange(len(queries)) % len(table)
    known = [[0, 5, 30]] * len(queries)
    ranks = scan.ranks(queries, targets, answer_lists(known), RankingProtocol("stable", 2.0))
    with np.errstate(invalid="ignore"):
        published, realistic = plain_ranks(scores, targets, known, RankingProtocol("stable", 2.0))
    assert ranks.published.tolist() == published
    assert ranks.realistic.tolist() == realistic


@pytest.mark.parametrize("score", SCORES, ids=["inner product", "distance"])
@pytest.mark.parametrize("scale", [1e-45, 1e-41, 1e-38, 1e-30, 1e-22, 1e-19, 1e-10, 1e9, 1e15, 1e18, 1e30, 3e37])
def test_tiny_and_huge_numbers_never_lose_an_answer(score: CandidateScore, scale: float, open_scan: OpenScan) -> None:
    rng = np.random.default_rng(0)
    if isinstance(score, ComplexDistance):
        score = ComplexDistance(0.0)
    for batch in BATCHES:
        # Positive, so that overflow gives infinities of one sign and no NaN.
        table = (np.abs(rng.standard_normal((200, 18))) * scale).astype(np.float32)
        queries = (np.abs(rng.standard_normal((batch, 18))) * scale).astype(np.float32)
        assert_settled(table, queries, score, open_scan)


@pytest.mark.parametrize("score", SCORES, ids=["inner product", "distance"])
def test_infinite_rows_and_queries_are_ranked_by_their_canonical_scores(
    score: CandidateScore, open_scan: OpenScan
) -> None:
    rng = np.random.default_rng(1)
    for batch in BATCHES:
        table = np.abs(rng.standard_normal((200, 18))).astype(np.float32)
        queries = np.abs(rng.standard_normal((batch, 18))).astype(np.float32)
        table[[3, 77, 150], [0, 5, 17]] = math.inf
        assert_settled(table, queries, score, open_scan)
        if isinstance(score, InnerProduct):
            table[[9, 10], 2] = -math.inf
            assert_settled(table, queries, score, open_scan)


@pytest.mark.parametrize("score", SCORES, ids=["inner product", "distance"])
@pytest.mark.parametrize("spread", [0.0, 1e-7, 1e-6, 1e-5, 1e-4])
def test_rows_closer_than_a_first_pass_can_tell_are_ordered_by_their_canonical_scores(
    score: CandidateScore, spread: float, open_scan: OpenScan
) -> None:
    rng = np.random.default_rng(5)
    for width in (18, 250):
        row = rng.standard_normal(width)
        table = (row * (1 + spread * rng.standard_normal((400, width)))).astype(np.float32)
        for batch in BATCHES:
            queries = rng.standard_normal((batch, width)).astype(np.float32)
            assert_settled(table, queries, score, open_scan)


def test_an_infinite_query_leaves_out_every_distance(open_scan: OpenScan) -> None:
    queries = np.zeros((40, 4), np.float32)
    queries[7, 1] = math.inf
    found = open_scan(np.ones((50, 4), np.float32), ComplexDistance(1.0), 2).top_k(queries, 3)
    counts = np.diff(found.offsets)
    assert counts[7] == 0
    assert set(np.delete(counts, 7)) == {3}


@pytest.mark.parametrize("score", SCORES, ids=["inner product", "distance"])
@pytest.mark.parametrize("row", [0, 100, 199])
def test_nan_anywhere_is_an_error_even_where_the_row_is_excluded(
    score: CandidateScore, row: int, open_scan: OpenScan
) -> None:
    rng = np.random.default_rng(2)
    table = rng.standard_normal((200, 18)).astype(np.float32)
    table[row, 3] = math.nan
    for batch in BATCHES:
        queries = rng.standard_normal((batch, 18)).astype(np.float32)
        scan = open_scan(table, score, 2)
        for excluded in (None, answer_lists([[row]] * batch)):
            with pytest.raises(BackendError, match="a score is NaN"):
                scan.top_k(queries, 2, excluded)
        with pytest.raises(BackendError, match="a score is NaN"):
            scan.ranks(queries, np.full(batch, 50), answer_lists([[row]] * batch), FLOOR)
        others = np.delete(np.arange(200), row)
        assert len(scan.top_k(queries, 2, None, others).ids) == 2 * batch
        queries[-1, 0] = math.nan
        with pytest.raises(BackendError, match="a score is NaN"):
            scan.top_k(queries, 2, None, others)


def test_opposite_infinities_are_nan_and_an_error(open_scan: OpenScan) -> None:
    table = np.ones((20, 2), np.float32)
    table[4] = [math.inf, -math.inf]
    with pytest.raises(BackendError, match="a score is NaN"):
        open_scan(table, InnerProduct(), 1).top_k(np.ones((40, 2), np.float32), 1)


def test_no_score_is_minus_zero(open_scan: OpenScan) -> None:
    table = np.array([[-1e-40, 0], [0, 0], [1e-40, 0]], np.float32)
    for batch in BATCHES:
        found = open_scan(table, InnerProduct(), 1).top_k(np.full((batch, 2), 1e-30, np.float32), 3)
        np.testing.assert_array_equal(found.ids.reshape(batch, 3), np.tile([0, 1, 2], (batch, 1)))
        assert not np.signbit(found.scores).any()


def test_a_caller_that_flushes_denormals_gets_the_same_answer(open_scan: OpenScan) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(3)
    table = (rng.standard_normal((300, 6)) * 1e-20).astype(np.float32)
    queries = (rng.standard_normal((40, 6)) * 1e-20).astype(np.float32)
    scan = open_scan(table, InnerProduct(), 1)
    plain = scan.top_k(queries, 5)
    assert (np.abs(plain.scores) < np.finfo(np.float32).tiny).all()
    torch.set_flush_denormal(True)
    try:
        flushed = scan.top_k(queries, 5)
    finally:
        torch.set_flush_denormal(False)
    np.testing.assert_array_equal(flushed.ids, plain.ids)
    np.testing.assert_array_equal(flushed.scores.view(np.int32), plain.scores.view(np.int32))


def test_unaligned_transposed_and_strided_arrays_give_the_same_answer(open_scan: OpenScan) -> None:
    rng = np.random.default_rng(4)
    table, queries = rng.standard_normal((101, 34)).astype(np.float32), rng.standard_normal((20, 34)).astype(np.float32)
    expected = open_scan(table, InnerProduct(), 2).top_k(queries, 7)
    for shape in ("unaligned", "fortran", "strided", "reversed"):
        odd = [_odd(array, shape) for array in (table, queries)]
        assert not (odd[0].flags.c_contiguous and odd[0].flags.aligned)
        found = open_scan(odd[0], InnerProduct(), 2).top_k(odd[1], 7)
        np.testing.assert_array_equal(found.ids, expected.ids)
        np.testing.assert_array_equal(found.scores, expected.scores)


def _odd(array: np.ndarray, how: str) -> np.ndarray:
    if how == "unaligned":
        odd = np.frombuffer(b"x" + array.tobytes(), np.uint8)[1:].view(np.float32).reshape(array.shape)
    elif how == "fortran":
        odd = np.asfortranarray(array)
    elif how == "strided":
        odd = np.repeat(array, 2, axis=0)[::2]
    else:
        odd = array[::-1].copy()[::-1]
    np.testing.assert_array_equal(odd, array)
    return odd


def test_what_does_not_fit_is_named() -> None:
    table = np.ones((6, 4), np.float32)
    scan, queries = Scan(table, InnerProduct(), 1), np.ones((2, 4), np.float32)
    with pytest.raises(BackendError, match=r"float64.*expected float32"):
        Scan(table.astype(np.float64), InnerProduct())  # type: ignore[arg-type]
    with pytest.raises(BackendError, match="expected float32"):
        scan.top_k(np.ones(4, np.float32), 1)
    with pytest.raises(BackendError, match="width 3, the table 4"):
        scan.top_k(np.ones((2, 3), np.float32), 1)
    with pytest.raises(BackendError, match="width is odd"):
        Scan(np.ones((2, 3), np.float32), ComplexDistance(1.0))
    with pytest.raises(BackendError, match="margin is not finite"):
        Scan(table, ComplexDistance(math.nan))
    with pytest.raises(BackendError, match="instruction set 'mmx'"):
        Scan(table, InnerProduct(), 1, "mmx")
    with pytest.raises(BackendError, match="storage is 'int4'"):
        Scan(table, InnerProduct(), 1, None, "int4")  # type: ignore[arg-type]
    with pytest.raises(BackendError, match="bfloat16 storage needs"):
        Scan(table, ComplexDistance(1.0), 1, None, "bfloat16")
    with pytest.raises(BackendError, match="int8 storage needs"):
        Scan(table, InnerProduct(), 1, "portable", "int8")
    with pytest.raises(BackendError, match="candidates are not ascending"):
        scan.top_k(queries, 1, None, np.array([3, 2]))
    with pytest.raises(BackendError, match="out of range"):
        scan.top_k(queries, 1, None, np.array([2, 6]))
    with pytest.raises(BackendError, match="excluded ids"):
        scan.top_k(queries, 1, AnswerLists(np.array([0, 2, 2]), np.array([4, 4])))
    with pytest.raises(BackendError, match="excluded ids"):
        scan.top_k(queries, 1, AnswerLists(np.array([0, 1, 2]), np.array([-1, 6])))
    with pytest.raises(BackendError, match="do not fit 2 queries"):
        scan.top_k(queries, 1, answer_lists([[1]]))
    with pytest.raises(BackendError, match="a target is out of range"):
        scan.ranks(queries, np.array([0, 6]), answer_lists([[], []]), FLOOR)
    with pytest.raises(BackendError, match="known_penalty"):
        scan.ranks(queries, np.array([0, 1]), answer_lists([[], []]), RankingProtocol("floor", -1.0))
    targets, nothing = np.array([0, -1]), answer_lists([[], []])
    with pytest.raises(BackendError, match="the score of a target in this part is another than its row has"):
        scan.counts(queries, targets, np.array([5, 4], np.float32), nothing, FLOOR)
    with pytest.raises(BackendError, match="a score is NaN"):
        scan.counts(queries, targets, np.array([4, math.nan], np.float32), nothing, FLOOR)
    with pytest.raises(BackendError, match="scores of shape"):
        scan.counts(queries, targets, np.ones(3, np.float32), nothing, FLOOR)
    assert scan.counts(queries, targets, np.array([4, 4], np.float32), nothing, FLOOR).tolist() == [
        [0, 0],
        [5, 6],
        [0, 0],
    ]


def test_null_pointers_are_refused_by_the_c_functions() -> None:
    loaded = loaded_library()
    bad = 1
    handle = ctypes.c_void_p()
    assert loaded.mmkg_pool_open(0, ctypes.byref(handle)) == bad
    assert loaded.mmkg_pool_open(1, None) == bad
    assert loaded.mmkg_scan_open(None, 1, 1, 0, 0.0, -1, 0, None, ctypes.byref(handle)) == bad
    assert b"pool is NULL" in loaded.mmkg_last_error()
    assert loaded.mmkg_top_k(None, None, 1, 1, None, None, None, 0, None, None, None, None) == bad
    assert loaded.mmkg_ranks(None, None, 1, None, None, None, 0.0, None, None, None) == bad
    assert loaded.mmkg_ranks_in_part(None, None, 1, None, None, None, None, 0.0, None, None, None) == bad
    loaded.mmkg_scan_close(None)
    loaded.mmkg_pool_close(None)
