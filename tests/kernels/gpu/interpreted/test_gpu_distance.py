"""GpuScan by the rotated distance against kernels.Scan, to the bit: launcher and sources, with no GPU behind them."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import pytest
import torch
import triton
import triton.language as tl

from mmkg_sdk.errors import BackendError
from mmkg_sdk.kernels import Scan
from mmkg_sdk.kernels.gpu.scan import GpuScan, GpuScanReport
from mmkg_sdk.ranking.exact import RankingProtocol, TopK
from mmkg_sdk.ranking.known_triples import AnswerLists
from mmkg_sdk.ranking.scores import CandidateScore, ComplexDistance, InnerProduct

from ...references.canonical import answer_lists, complex_distance
from .conftest import FakeGpu

MARGIN = 6.0
PROTOCOL = RankingProtocol("stable", math.inf)


def vectors(seed: int, rows: int, half: int, batch: int, ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    table = rng.standard_normal((rows, 2 * half)).astype(np.float32)
    queries = rng.standard_normal((batch, 2 * half)).astype(np.float32)
    if ties:  # whole numbers of few values, every row twice
        table, queries = np.round(table), np.round(queries)
        table[rows // 2 :] = table[: rows - rows // 2]
    return table, queries


def lists(seed: int, rows: int, batch: int, most: int) -> AnswerLists:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(0, min(most, rows) + 1, batch)
    return answer_lists([sorted(rng.choice(rows, size, replace=False).tolist()) for size in sizes])


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and bool((a.view(np.uint32) == b.view(np.uint32)).all())


def check_top_k(
    table: np.ndarray,
    queries: np.ndarray,
    k: int,
    excluded: AnswerLists | None = None,
    candidates: np.ndarray | None = None,
    margin: float = MARGIN,
) -> TopK:
    score = ComplexDistance(margin)
    expected = Scan(table, score, threads=1).top_k(queries, k, excluded, candidates)
    found, report = GpuScan(table, score).top_k_with_report(queries, k, excluded, candidates)
    np.testing.assert_array_equal(found.offsets, expected.offsets)
    np.testing.assert_array_equal(found.ids, expected.ids)
    assert same_bits(found.scores, expected.scores)
    assert report == GpuScanReport(first=0, wider=0, exact=len(queries))
    return found


@pytest.mark.parametrize("rows", [1, 31, 127, 128, 129, 257])
@pytest.mark.parametrize("ties", [False, True])
def test_the_best_rows_are_those_of_the_cpu(fake: FakeGpu, rows: int, ties: bool) -> None:
    table, queries = vectors(rows, rows, 17, 3, ties)
    check_top_k(table, queries, 5, lists(rows, rows, 3, 40))
    assert "distance_bins" in fake.launches.launched
    assert "scan_bins" not in "".join(fake.launches.launched)


@pytest.mark.parametrize("half", [1, 15, 16, 31, 33])
def test_vectors_of_any_width(fake: FakeGpu, half: int) -> None:
    table, queries = vectors(half, 131, half, 2)
    check_top_k(table, queries, 3)


@pytest.mark.parametrize("score", [ComplexDistance(MARGIN), InnerProduct()])
@pytest.mark.parametrize(("half", "batch"), [(1, 1), (17, 65)])
def test_pairs_have_the_scores_of_the_cpu(fake: FakeGpu, score: CandidateScore, half: int, batch: int) -> None:
    table, queries = vectors(half, 30, half, batch)
    ids, scan = np.arange(batch) % 30, GpuScan(table, score)
    assert same_bits(scan.pairs(queries, ids), Scan(table, score, threads=1).pairs(queries, ids))
    with pytest.raises(BackendError, match="a target is out of range"):
        scan.pairs(queries, ids + 30)
    with pytest.raises(BackendError, match="expected one a query"):
        scan.pairs(queries, ids[1:])


@pytest.mark.parametrize("batch", [1, 7, 8, 9])
def test_any_number_of_queries(fake: FakeGpu, batch: int) -> None:
    table, queries = vectors(batch, 140, 5, batch)
    check_top_k(table, queries, 4, lists(batch, 140, batch, 9))


@pytest.mark.parametrize("k", [1, 16, 17, 129, 400])
def test_any_number_of_answers(fake: FakeGpu, k: int) -> None:
    table, queries = vectors(k, 400, 4, 1, ties=True)
    check_top_k(table, queries, k, lists(k, 400, 1, 30))


@pytest.mark.parametrize("chosen", [[7], [0, 299], range(1, 300, 2)])
def test_only_candidates_are_answers(fake: FakeGpu, chosen: list[int]) -> None:
    table, queries = vectors(1, 300, 6, 2, ties=True)
    check_top_k(table, queries, 12, lists(2, 300, 2, 50), np.array(chosen))


def test_no_queries_rows_or_answers(fake: FakeGpu) -> None:
    table, queries = vectors(3, 40, 3, 1)
    score = ComplexDistance(MARGIN)
    assert len(GpuScan(table, score).top_k(queries[:0], 5).ids) == 0
    assert len(GpuScan(table[:0], score).top_k(queries, 5).ids) == 0
    assert len(GpuScan(table, score).pairs(queries[:0], np.zeros(0, np.int64))) == 0
    assert len(check_top_k(table, queries, 5, answer_lists([list(range(40))])).ids) == 0
    assert len(check_top_k(table, queries, 5, answer_lists([list(range(38))])).ids) == 2


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
def test_rows_infinitely_far_are_no_answers_and_a_score_of_zero_has_no_sign(fake: FakeGpu) -> None:
    table, queries = vectors(4, 50, 3, 2, ties=True)
    table[::3, 1] = np.inf
    table[7] = 3e38  # its square is infinite
    table[8], queries[1] = 1.0, 1.0
    for margin in (MARGIN, 1e30, -1e30):
        check_top_k(table, queries, 50, margin=margin)
    for margin in (0.0, -0.0):
        best = check_top_k(table, queries, 1, margin=margin).scores[1]
        assert best == 0
        assert not np.signbit(best)


def test_tiny_numbers_keep_their_digits(fake: FakeGpu) -> None:
    table, queries = vectors(5, 40, 9, 2)
    for factor in (1e-40, 1e-22):  # of numbers, and of squares below the normal ones
        check_top_k(table * np.float32(factor), queries * np.float32(factor), 10, margin=0.0)


@pytest.mark.parametrize("rows", [1, 31, 129, 257])
@pytest.mark.parametrize(
    ("ties", "penalty"), [("optimistic", 0.0), ("floor", 1.0), ("stable", 2.5), ("stable", math.inf)]
)
def test_ranks_are_those_of_the_cpu(
    fake: FakeGpu, rows: int, ties: Literal["floor", "optimistic", "stable"], penalty: float
) -> None:
    table, queries = vectors(rows, rows, 2, 9, ties=True)
    targets, known = np.random.default_rng(rows).integers(0, rows, 9), lists(rows, rows, 9, 80)
    score, protocol = ComplexDistance(MARGIN), RankingProtocol(ties, penalty)
    found = GpuScan(table, score).ranks(queries, targets, known, protocol)
    expected = Scan(table, score, threads=1).ranks(queries, targets, known, protocol)
    np.testing.assert_array_equal(found.published, expected.published)
    np.testing.assert_array_equal(found.realistic, expected.realistic)


def test_queries_on_the_gpu_are_read_where_they_are(fake: FakeGpu) -> None:
    table, queries = vectors(8, 60, 5, 3)
    stream, score = fake.gpu.stream(), ComplexDistance(MARGIN)
    placed, scan = fake.gpu.array(queries, stream), GpuScan(table, score)
    expected = Scan(table, score, threads=1)
    found = scan.top_k(placed, 4, stream=stream.handle)
    np.testing.assert_array_equal(found.ids, expected.top_k(queries, 4).ids)
    ids = np.array([0, 59, 7])
    assert same_bits(scan.pairs(placed, ids, stream=stream.handle), expected.pairs(queries, ids))


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_a_score_that_is_nan_is_refused_as_on_the_cpu(fake: FakeGpu) -> None:
    table, queries = vectors(6, 140, 3, 3)
    queries[2, 4] = np.inf
    score, targets = ComplexDistance(MARGIN), np.zeros(3, np.int64)
    for broken in (np.nan, np.inf):  # infinity less infinity
        table[130, 4] = broken
        scan = GpuScan(table, score)
        with pytest.raises(BackendError, match="a score is NaN"):
            scan.top_k(queries, 3)
        with pytest.raises(BackendError, match="a score is NaN"):
            scan.ranks(queries, targets, answer_lists([[]] * 3), PROTOCOL)
    few = GpuScan(table, score).top_k(queries[:2], 3)  # infinitely far only
    np.testing.assert_array_equal(few.ids, Scan(table, score, threads=1).top_k(queries[:2], 3).ids)


def test_a_score_is_what_the_header_says(fake: FakeGpu) -> None:
    table, queries = vectors(7, 20, 40, 20)
    table, queries = np.round(table * 64) / 64, np.round(queries * 64) / 64  # few bits: float64 does not round
    found = GpuScan(table, ComplexDistance(MARGIN)).pairs(queries, np.arange(20))
    for row in range(20):
        assert found[row] == complex_distance(queries[row], table[row], MARGIN)


@pytest.mark.parametrize(
    ("width", "margin", "message"), [(3, 1.0, "even width"), (4, math.inf, "margin is not finite")]
)
def test_what_is_no_distance_is_refused(fake: FakeGpu, width: int, margin: float, message: str) -> None:
    with pytest.raises(BackendError, match=message):
        GpuScan(np.zeros((5, width), np.float32), ComplexDistance(margin))


@triton.jit
def _fused(a, b, c, out):
    at = tl.arange(0, 16)
    tl.store(out + at, tl.fma(tl.load(a + at), tl.load(b + at), tl.load(c + at)))


def test_the_interpreter_rounds_a_fused_multiply_add_once() -> None:
    # Triton 3.6 rounded the product, too: then what is the same to the bit above would be so for few inputs only.
    a, c = torch.full((16,), 1 + 2.0**-12), torch.full((16,), -1 - 2.0**-11)
    out = torch.zeros(16)
    _fused[(1,)](a, a, c, out)
    assert (out == 2.0**-24).all()
    assert (a * a + c == 0).all()
