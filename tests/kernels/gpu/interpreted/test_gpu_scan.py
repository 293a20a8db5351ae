"""GpuScan against kernels.Scan, to the bit: the launcher in C and the kernels' sources, with no GPU behind them.

What is tested: arguments, grids, buffers, certificates and widening. What is not: the compiled kernels, and what runs
at the same time on a GPU.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence

import numpy as np
import pytest

from mmkg_sdk.errors import BackendError
from mmkg_sdk.kernels import Scan
from mmkg_sdk.kernels.gpu import GpuScan, GpuScanReport, TopKOnGpu
from mmkg_sdk.kernels.gpu.library import check, gpu_library
from mmkg_sdk.kernels.library import address
from mmkg_sdk.ranking.exact import RankingProtocol, TopK
from mmkg_sdk.ranking.known_triples import AnswerLists
from mmkg_sdk.ranking.scores import ComplexDistance, InnerProduct

from ..fake_driver.driver import OUT_OF_MEMORY
from .conftest import FakeGpu

SCORE = InnerProduct()
PROTOCOL = RankingProtocol("stable", math.inf)


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def lists(*rows: Sequence[int]) -> AnswerLists:
    return AnswerLists(np.cumsum([0, *map(len, rows)]), np.array([row for some in rows for row in some], np.int64))


def assert_same(found: TopK, expected: TopK) -> None:
    assert np.array_equal(found.offsets, expected.offsets)
    assert np.array_equal(found.ids, expected.ids)
    assert np.array_equal(found.scores.view(np.int32), expected.scores.view(np.int32))


@pytest.mark.parametrize(
    ("rows", "width", "batch", "k"),
    [
        (1, 1, 1, 1),
        (127, 64, 2, 10),
        (129, 70, 17, 3),  # a row of a second tile; no multiple of 16; the next shape of the first pass
        (257, 300, 1, 100),  # a width that has no kernel of its own
        (1201, 16, 1, 1024),
    ],
)
def test_top_k_is_that_of_the_cpu(fake: FakeGpu, rows: int, width: int, batch: int, k: int) -> None:
    table, queries = numbers(rows, width), numbers(batch, width, seed=1)
    found, report = GpuScan(table, SCORE).top_k_with_report(queries, k)
    assert_same(found, Scan(table, SCORE).top_k(queries, k))
    assert report.first + report.wider + report.exact == batch
    assert "round_queries" in fake.launches.launched


def test_an_empty_batch_and_an_empty_table(fake: FakeGpu) -> None:
    assert len(GpuScan(numbers(3, 5), SCORE).top_k(numbers(0, 5), 2).ids) == 0
    assert GpuScan(numbers(0, 5), SCORE).top_k(numbers(2, 5), 2).offsets.tolist() == [0, 0, 0]


def test_ties_go_to_lower_rows_and_excluded_rows_are_left_out(fake: FakeGpu) -> None:
    table = np.tile(numbers(5, 32), (60, 1))  # every row 60 times
    queries = numbers(3, 32, seed=1)
    excluded = lists([0, 5, 10, 299], [], range(0, 300, 2))
    assert_same(GpuScan(table, SCORE).top_k(queries, 70, excluded), Scan(table, SCORE).top_k(queries, 70, excluded))


def test_all_rows_excluded_leaves_no_answer(fake: FakeGpu) -> None:
    table, queries = numbers(40, 8), numbers(2, 8, seed=1)
    found = GpuScan(table, SCORE).top_k(queries, 5, lists(range(40), range(38)))
    assert np.diff(found.offsets).tolist() == [0, 2]


def test_candidates_are_ranked_alone(fake: FakeGpu) -> None:
    table, queries = numbers(300, 20), numbers(2, 20, seed=1)
    candidates = np.arange(7, 300, 3)
    excluded = lists([7, 8, 10], [298])
    found, report = GpuScan(table, SCORE).top_k_with_report(queries, 9, excluded, candidates)
    assert_same(found, Scan(table, SCORE).top_k(queries, 9, excluded, candidates))
    assert report == GpuScanReport(first=0, wider=0, exact=2)


def test_scores_that_bfloat16_cannot_tell_apart_are_answered_again(fake: FakeGpu) -> None:
    base = numbers(1, 64)
    table = np.repeat(base, 3000, axis=0) * (1 + np.arange(3000, dtype=np.float32)[:, None] * np.float32(2**-22))
    queries = np.concatenate([base, numbers(1, 64, seed=1)])
    found, report = GpuScan(table, SCORE).top_k_with_report(queries, 5)
    assert_same(found, Scan(table, SCORE).top_k(queries, 5))
    assert report.wider >= 1


def test_queries_on_the_gpu_are_read_where_they_are(fake: FakeGpu) -> None:
    table = numbers(200, 33)
    queries = numbers(4, 33, seed=1)
    stream = fake.gpu.stream()
    placed = fake.gpu.array(queries, stream)
    scan = GpuScan(table, SCORE)
    assert_same(scan.top_k(placed, 4, stream=stream.handle), Scan(table, SCORE).top_k(queries, 4))
    ranks = scan.ranks(placed, np.array([0, 5, 199, 7]), lists([], [], [], []), PROTOCOL)
    expected = Scan(table, SCORE).ranks(queries, np.array([0, 5, 199, 7]), lists([], [], [], []), PROTOCOL)
    assert np.array_equal(ranks.published, expected.published)


@pytest.mark.parametrize("penalty", [0.0, 0.5, math.inf])
@pytest.mark.parametrize("rows", [1, 131])
def test_ranks_are_those_of_the_cpu(fake: FakeGpu, rows: int, penalty: float) -> None:
    table = numbers(rows, 24)
    table[rows // 2 :] = table[: rows - rows // 2]  # ties
    queries = numbers(3, 24, seed=1)
    targets = np.array([0, rows // 2, rows - 1])
    known = lists([0, *range(1, rows, 4)], [], range(rows))
    protocol = RankingProtocol("stable", penalty)
    found = GpuScan(table, SCORE).ranks(queries, targets, known, protocol)
    expected = Scan(table, SCORE).ranks(queries, targets, known, protocol)
    assert np.array_equal(found.published, expected.published)
    assert np.array_equal(found.realistic, expected.realistic)


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_a_score_that_is_nan_is_refused_as_on_the_cpu(fake: FakeGpu, broken: float) -> None:
    table, queries = numbers(20, 8), numbers(2, 8, seed=1)
    queries[1, 3] = broken
    table[4, 3] = 0  # infinity times zero
    scan = GpuScan(table, SCORE)
    for ranking in (scan, Scan(table, SCORE)):
        with pytest.raises(BackendError, match="a score is NaN"):
            ranking.top_k(queries, 3)
    with pytest.raises(BackendError, match="a score is NaN"):
        scan.ranks(queries, np.array([0, 1]), lists([], []), PROTOCOL)


def test_scores_that_overflow_to_infinity_are_ranked_as_on_the_cpu(fake: FakeGpu) -> None:
    table, queries = numbers(20, 8) * np.float32(1e30), np.abs(numbers(1, 8, seed=1)) * np.float32(1e30)
    table[::2] = np.abs(table[::2])
    table[1::2] = -np.abs(table[1::2])
    found, report = GpuScan(table, SCORE).top_k_with_report(queries, 20)
    assert_same(found, Scan(table, SCORE).top_k(queries, 20))
    assert report.exact == 1
    assert np.isposinf(found.scores).all()


@pytest.mark.parametrize("broken", [np.nan, np.inf, 3.4e38])
def test_a_table_that_is_not_finite_is_refused(fake: FakeGpu, broken: float) -> None:
    table = numbers(20, 8)
    table[19, 7] = broken
    with pytest.raises(BackendError, match="not finite in bfloat16"):
        GpuScan(table, SCORE)


def test_what_has_no_kernel_is_refused(fake: FakeGpu) -> None:
    scan = GpuScan(numbers(2000, 4), SCORE)
    with pytest.raises(BackendError, match="k is 1025; the CUDA kernels go to 1024"):
        scan.top_k(numbers(1, 4), 1025)
    with pytest.raises(BackendError, match="no CUDA scan for None"):
        GpuScan(numbers(3, 4), None)  # type: ignore[arg-type]
    with pytest.raises(BackendError, match=r"expected 'cuda' or 'cuda:N'"):
        GpuScan(numbers(3, 4), SCORE, "cpu")
    with pytest.raises(BackendError, match="there is no GPU 7"):
        GpuScan(numbers(3, 4), SCORE, "cuda:7")
    assert GpuScan.supports(numbers(3, 4), SCORE)
    assert GpuScan.supports(numbers(3, 4), ComplexDistance(1.0))
    assert not GpuScan.supports(numbers(3, 5), ComplexDistance(1.0))


@pytest.mark.parametrize(
    ("excluded", "candidates"),
    [
        (lists([3, 3]), None),
        (lists([5, 3]), None),
        (lists([-1]), None),
        (lists([20]), None),
        (AnswerLists(np.array([0, 2]), np.array([1])), None),
        (None, np.array([3, 3])),
        (None, np.array([-1])),
        (None, np.array([20])),
    ],
)
def test_lists_that_would_lead_astray_are_refused(
    fake: FakeGpu, excluded: AnswerLists | None, candidates: np.ndarray | None
) -> None:
    scan = GpuScan(numbers(20, 8), SCORE)
    with pytest.raises(BackendError, match=r"ascending, out of range|not ascending|do not fit"):
        scan.top_k(numbers(1, 8), 2, excluded, candidates)
    with pytest.raises(BackendError, match="a target is out of range"):
        scan.ranks(numbers(1, 8), np.array([20]), lists([]), PROTOCOL)
    with pytest.raises(BackendError, match=r"expected float32 \[batch, 8\]"):
        scan.top_k(numbers(1, 9), 2)


def test_threads_have_streams_of_their_own(fake: FakeGpu) -> None:
    table, queries = numbers(130, 16), numbers(2, 16, seed=1)
    scan, expected = GpuScan(table, SCORE), Scan(table, SCORE).top_k(queries, 5)
    found: list[TopK] = []
    threads = [threading.Thread(target=lambda: found.append(scan.top_k(queries, 5))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2
    for answer in found:
        assert_same(answer, expected)


def test_a_call_that_runs_out_of_memory_leaves_the_scan_of_use(fake: FakeGpu) -> None:
    table, queries = numbers(40, 16), numbers(1, 16, seed=1)
    scan = GpuScan(table, SCORE)
    before = fake.driver.memory_used
    fake.driver.fail("cuMemAllocFromPoolAsync", OUT_OF_MEMORY)
    with pytest.raises(BackendError, match=r"cannot get \d+ bytes of GPU memory to work in.*OUT_OF_MEMORY"):
        scan.top_k(queries, 5)
    assert_same(scan.top_k(queries, 5), Scan(table, SCORE).top_k(queries, 5))
    assert fake.driver.memory_used == before


def test_memory_of_a_table_is_freed_with_its_scan(fake: FakeGpu) -> None:
    before = fake.driver.memory_used
    scan = GpuScan(numbers(130, 20), SCORE)
    # float32 rows of 32, bfloat16 rows of 64 in whole tiles of 128.
    assert scan.table_bytes == 130 * 32 * 4 + 256 * 64 * 2 == fake.driver.memory_used - before
    del scan
    assert fake.driver.memory_used == before


@pytest.mark.parametrize("width", [32, 33])
def test_a_captured_top_k_answers_whatever_the_queries_are_then(fake: FakeGpu, width: int) -> None:
    table, stream = numbers(140, width), fake.gpu.stream()
    scan, expected = GpuScan(table, SCORE), Scan(table, SCORE)
    answers = TopKOnGpu(fake.gpu, 3, 4)
    rows = lists([1, 100], [], [7])
    excluded = fake.gpu.array(rows.offsets.astype(np.int64)), fake.gpu.array(rows.ids)
    queries = fake.gpu.array(numbers(3, width))
    assert scan.largest_launch(4) >= 3
    with stream.capture() as graph:
        scan.launch_top_k(queries, answers, stream, (excluded[0].pointer, excluded[1].pointer), longest=2)
    assert not fake.launches.launched[1:]  # the table was rounded, and nothing ran since
    for seed in (1, 2):
        new = numbers(3, width, seed=seed)
        check(
            gpu_library().mmkg_gpu_copy_to_device(
                fake.gpu.handle, queries.pointer, address(new), new.nbytes, stream.handle
            )
        )
        graph.launch(stream)
        found, certain = answers.read(stream)
        assert certain.all()
        assert_same(found, expected.top_k(new, 4, rows))


def test_a_launch_says_which_answers_are_not_certain(fake: FakeGpu) -> None:
    table, stream = np.ones((1500, 8), np.float32), fake.gpu.stream()
    table[:, 0] += np.arange(1500, dtype=np.float32) * 2**-22
    queries = np.zeros((2, 8), np.float32)
    queries[0, 0] = 1  # the second scores 0 everywhere: ties that bfloat16 sees as such
    queries[0, 1:] = 3
    answers = TopKOnGpu(fake.gpu, 4, 3)
    scan = GpuScan(table, SCORE)
    scan.launch_top_k(fake.gpu.array(queries), answers, stream)
    found, certain = answers.read(stream, 2)
    assert not certain[0]
    assert np.diff(found.offsets).tolist() == [0, 3 * certain[1]]
    assert_same(scan.top_k(queries, 3), Scan(table, SCORE).top_k(queries, 3))
    with pytest.raises(BackendError, match="longest is negative"):
        scan.launch_top_k(fake.gpu.array(queries), answers, stream, longest=-1)
    with pytest.raises(BackendError, match="room for the answers of 4"):
        scan.launch_top_k(fake.gpu.array(np.zeros((5, 8), np.float32)), answers, stream)
