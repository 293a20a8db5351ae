"""Queries from ids to ids as one CUDA graph: the answers of separate launches and of the CPU's kernels, to the bit.

Kernels run in Triton's interpreter, behind a stand-in for NVIDIA's driver that keeps what is captured and runs it with
each launch. Nothing here has run on a GPU.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from mmkg_sdk.backends import captured
from mmkg_sdk.backends.captured import CapturedTopK
from mmkg_sdk.errors import BackendError
from mmkg_sdk.kernels import Scan
from mmkg_sdk.kernels.gpu import GpuScan, Stream, TopKOnGpu
from mmkg_sdk.kernels.gpu.arguments import TableOnGpu
from mmkg_sdk.kernels.gpu.library import gpu_library
from mmkg_sdk.kernels.gpu.query_context import GpuQueryContext
from mmkg_sdk.kernels.gpu.tucker import GpuTuckerCore
from mmkg_sdk.ranking.exact import TopK
from mmkg_sdk.ranking.known_triples import AnswerLists, Queries
from mmkg_sdk.ranking.scores import InnerProduct
from tests.kernels.references.query import random_questions, random_weights

from ..fake_driver.driver import OUT_OF_MEMORY
from ..fake_driver.mended import rows_multiplied_alike
from .conftest import FakeGpu

ROWS, WIDTH = 140, 20  # two tiles; rows of the scan have 32 numbers


@dataclass
class Maker:
    """What a family gives: kernels of random weights."""

    context: GpuQueryContext
    core: GpuTuckerCore | None

    def launch(self, table: TableOnGpu, batch: int, ids: Any, vectors: int, stream: Stream) -> None:
        self.context.launch_query_vectors(self.core, table, batch, ids, vectors, stream)

    def vectors(self, table: TableOnGpu, queries: Queries) -> np.ndarray:
        """By separate launches."""
        ids = queries.entity, queries.relation, queries.direction
        return self.context.query_vectors(self.core, table, *ids).numpy()

    __hash__ = object.__hash__


def make(with_core: bool) -> Maker:
    rng = np.random.default_rng(0)
    context = GpuQueryContext(random_weights(rng, WIDTH, 24), 2)
    core = rng.standard_normal((WIDTH,) * 3, np.float32), rng.standard_normal((WIDTH, WIDTH), np.float32)
    return Maker(context, GpuTuckerCore(*core, np.zeros(WIDTH, np.float32)) if with_core else None)


@pytest.fixture(scope="module")
def maker(_opened: FakeGpu) -> Maker:
    return make(with_core=True)


@pytest.fixture(autouse=True)
def _rows_alike() -> Iterator[None]:
    with rows_multiplied_alike():
        yield


@pytest.fixture
def captures(monkeypatch: pytest.MonkeyPatch) -> list[Stream]:
    """The streams on which something was captured, in order."""
    found: list[Stream] = []
    capture = Stream.capture
    monkeypatch.setattr(Stream, "capture", lambda stream: found.append(stream) or capture(stream))
    return found


def table(rows: int = ROWS) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((rows, WIDTH), np.float32)


def asked(batch: int, seed: int = 0, rows: int = ROWS) -> Queries:
    found = random_questions(np.random.default_rng(seed), batch, rows)
    return Queries(found["entity"], found["relation"], found["direction"])


def lists(batch: int, longest: int) -> AnswerLists:
    """Every third query has a list, the last of them the longest."""
    rng = np.random.default_rng(2)
    lengths = [longest if i == (batch - 1) // 3 * 3 else (2 if i % 3 == 0 else 0) for i in range(batch)]
    rows = [np.sort(rng.choice(ROWS, length, replace=False)) for length in lengths]
    return AnswerLists(np.cumsum([0, *lengths]), np.concatenate(rows).astype(np.int64))


def assert_same(found: TopK | None, expected: TopK) -> None:
    assert found is not None
    np.testing.assert_array_equal(found.offsets, expected.offsets)
    np.testing.assert_array_equal(found.ids, expected.ids)
    np.testing.assert_array_equal(found.scores.view(np.uint32), expected.scores.view(np.uint32))


@pytest.mark.parametrize(
    ("batch", "k", "longest"),
    [(1, 3, 0), (1, ROWS, 100), (2, 17, 64), (3, 2, 65)],
)
def test_answers_are_those_of_separate_launches_and_of_the_cpu(
    batch: int, k: int, longest: int, maker: Maker, fake: FakeGpu
) -> None:
    scan, queries = GpuScan(table(), InnerProduct()), asked(batch)
    excluded = lists(batch, longest) if longest else None
    found = CapturedTopK(scan).top_k(maker, queries, k, excluded)
    vectors = maker.vectors(scan.table, queries)
    assert_same(found, scan.top_k(vectors, k, excluded))
    assert_same(found, Scan(table(), InnerProduct(), storage="float32").top_k(vectors, k, excluded))
    assert len(np.unique(found.ids)) > 2  # type: ignore[union-attr]


@pytest.mark.parametrize(("batch", "padded", "with_core"), [(15, 16, True), (17, 64, True), (65, 256, False)])
def test_filling_up_a_batch_changes_no_bit_of_its_vectors(
    batch: int, padded: int, with_core: bool, maker: Maker, fake: FakeGpu
) -> None:
    """Around the sizes for which the launcher takes other kernels, and parts of 64."""
    assert gpu_library().mmkg_gpu_padded_batch(batch) == gpu_library().mmkg_gpu_padded_batch(padded) == padded
    maker = maker if with_core else make(with_core=False)
    queries, placed = asked(padded), TableOnGpu.copied(fake.gpu, table())
    whole = maker.vectors(placed, queries)
    kernels = set(fake.launches.launched)
    fake.launches.launched.clear()
    np.testing.assert_array_equal(maker.vectors(placed, queries[:batch]), whole[:batch])
    assert set(fake.launches.launched) == kernels


def test_rows_with_zeros_behind_them_give_the_same_vectors(maker: Maker, fake: FakeGpu) -> None:
    scan, queries = GpuScan(table(), InnerProduct()), asked(3)
    assert (scan.table.shape, scan.table.stride) == ((ROWS, WIDTH), 32)
    by_copy = maker.vectors(TableOnGpu.copied(fake.gpu, table()), queries)
    np.testing.assert_array_equal(maker.vectors(scan.table, queries), by_copy)
    for stride in (WIDTH - 1, 129):
        with pytest.raises(BackendError, match="stride is not from the width to the columns"):
            maker.vectors(replace(scan.table, stride=stride), queries)


def test_models_without_a_core_are_answered_likewise(fake: FakeGpu) -> None:
    scan, maker, queries = GpuScan(table(), InnerProduct()), make(with_core=False), asked(1)
    found = CapturedTopK(scan).top_k(maker, queries, 4, None)
    assert_same(found, scan.top_k(maker.vectors(scan.table, queries), 4))
    assert not [name for name in fake.launches.launched if "tucker" in name]


def test_one_capture_serves_all_queries_of_its_sizes(maker: Maker, fake: FakeGpu, captures: list[Stream]) -> None:
    scan = GpuScan(table(), InnerProduct())
    graphs, kernels = CapturedTopK(scan), []
    for batch, k, longest in ((5, 4, 60), (2, 16, 2)):
        queries, excluded = asked(batch, seed=k), lists(batch, longest)
        fake.launches.launched.clear()
        found = graphs.top_k(maker, queries, k, excluded)
        kernels.append(fake.launches.launched.copy())
        assert_same(found, scan.top_k(maker.vectors(scan.table, queries), k, excluded))
    assert len(captures) == 1
    assert kernels[0] == kernels[1]
    assert len(kernels[0]) > 10
    for seed in range(2):
        queries = asked(1, seed)
        assert_same(graphs.top_k(maker, queries, 4, None), scan.top_k(maker.vectors(scan.table, queries), 4))
    assert len(captures) == 2
    assert captures[0] is captures[1]


def test_graphs_are_bounded_and_the_last_ones_stay(
    maker: Maker, fake: FakeGpu, captures: list[Stream], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(captured, "_GRAPHS", 2)
    graphs, queries, held = CapturedTopK(GpuScan(table(), InnerProduct())), asked(1), []
    for k in (1, 17, 65, 17, 1):
        graphs.top_k(maker, queries, k, None)
        held.append(fake.driver.memory_used)
    assert len(captures) == 4
    assert held[1] > held[0]
    assert held[2] == held[3]  # of 17 and 65
    assert held[4] == held[1]  # of 17 and 1


def test_calls_at_once_have_graphs_of_their_own(
    maker: Maker, fake: FakeGpu, captures: list[Stream], monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = GpuScan(table(), InnerProduct())
    monkeypatch.setattr(captured, "_LANES", 3)
    graphs = CapturedTopK(scan)
    turns = [asked(1, seed) for seed in range(4)]
    expected = [scan.top_k(maker.vectors(scan.table, queries), 4) for queries in turns]
    answered = 0
    with ThreadPoolExecutor(4) as callers:
        for place, found in enumerate(callers.map(lambda i: graphs.top_k(maker, turns[i % 4], 4, None), range(5))):
            if found is not None:  # else all lanes were taken
                assert_same(found, expected[place % 4])
                answered += 1
    assert answered >= 3
    assert 1 <= len(captures) == len(set(captures)) <= 3
    assert_same(graphs.top_k(maker, turns[0], 4, None), expected[0])


def test_a_call_within_a_call_leaves_the_work_to_the_usual_launches(
    maker: Maker, fake: FakeGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(captured, "_LANES", 1)
    graphs, within = CapturedTopK(GpuScan(table(), InnerProduct())), []
    launch = Maker.launch

    def asking(self: Maker, *arguments: Any) -> None:
        within.append(graphs.top_k(maker, asked(1), 3, None))
        launch(self, *arguments)

    monkeypatch.setattr(Maker, "launch", asking)
    assert graphs.top_k(maker, asked(1), 3, None) is not None
    assert within == [None]


def test_a_query_that_is_not_certain_is_answered_by_the_scan(maker: Maker, fake: FakeGpu) -> None:
    rows = np.ones((1500, WIDTH), np.float32)  # bfloat16 cannot tell them apart, and these are more than are settled
    rows[:, 0] += np.arange(1500, dtype=np.float32) * 2**-22
    scan, queries = GpuScan(rows, InnerProduct()), asked(1, rows=1500)
    fake.launches.launched.clear()
    found = CapturedTopK(scan).top_k(maker, queries, 3, None)
    assert fake.launches.launched.count("settle_rows") > 2  # the graph's, the first pass again, and a wider one
    vectors = maker.vectors(scan.table, queries)
    assert_same(found, Scan(rows, InnerProduct(), storage="float32").top_k(vectors, 3))


def test_of_several_only_those_without_a_certificate_are_asked_again(
    maker: Maker, fake: FakeGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan, queries, excluded = GpuScan(table(), InnerProduct()), asked(4), lists(4, 9)
    expected = scan.top_k(maker.vectors(scan.table, queries), 5, excluded)
    answers, top_k, again = TopKOnGpu.answers, scan.top_k, []

    def doubting(self: TopKOnGpu, host: np.ndarray, batch: int, k: int) -> Any:
        self._part(host, 3, np.int32, batch)[[0, 3]] = 0
        return answers(self, host, batch, k)

    monkeypatch.setattr(TopKOnGpu, "answers", doubting)
    monkeypatch.setattr(scan, "top_k", lambda vectors, *a, **b: again.append(len(vectors)) or top_k(vectors, *a, **b))
    assert_same(CapturedTopK(scan).top_k(maker, queries, 5, excluded), expected)
    assert again == [2]


def test_a_score_that_is_nan_is_an_error(maker: Maker, fake: FakeGpu) -> None:
    graphs, queries = CapturedTopK(GpuScan(table(), InnerProduct())), asked(1)
    wrong = Queries(queries.entity, np.array([99]), queries.direction)  # no relation: NaN
    with pytest.raises(BackendError, match="a score is NaN"), np.errstate(invalid="ignore"):
        graphs.top_k(maker, wrong, 3, None)
    assert graphs.top_k(maker, queries, 3, None) is not None


@pytest.mark.parametrize(
    "function", ["cuMemAlloc", "cuMemHostAlloc", "cuMemAllocFromPoolAsync", "cuGraphInstantiate", "cuGraphLaunch"]
)
def test_too_little_memory_for_a_graph_leaves_nothing_behind(function: str, maker: Maker, fake: FakeGpu) -> None:
    graphs, queries = CapturedTopK(GpuScan(table(), InnerProduct())), asked(1)
    before = fake.driver.memory_used
    for after in range(2):
        fake.driver.fail(function, OUT_OF_MEMORY, after)
        found = graphs.top_k(maker, queries, 3, None)
        if after and found is not None:  # there is one call of it only
            break
        assert found is None
        assert fake.driver.memory_used == before
    fake.driver.recover()
    assert graphs.top_k(maker, queries, 3, None) is not None


def test_a_launch_that_fails_is_an_error_and_the_next_call_captures_anew(
    maker: Maker, fake: FakeGpu, captures: list[Stream]
) -> None:
    graphs, queries = CapturedTopK(GpuScan(table(), InnerProduct())), asked(1)
    expected = graphs.top_k(maker, queries, 3, None)
    fake.driver.fail("cuGraphLaunch", 1)
    with pytest.raises(BackendError, match="cannot launch a graph"):
        graphs.top_k(maker, queries, 3, None)
    assert_same(graphs.top_k(maker, queries, 3, None), expected)  # type: ignore[arg-type]
    assert len(captures) == 2


def test_all_memory_comes_back(maker: Maker, fake: FakeGpu) -> None:
    before = fake.driver.memory_used
    graphs = CapturedTopK(GpuScan(table(), InnerProduct()))
    empty = fake.driver.memory_used
    for k in (3, 20):
        graphs.top_k(maker, asked(1), k, None)
    assert fake.driver.memory_used > empty > before
    del graphs
    assert fake.driver.memory_used == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_is_told(maker: Maker, fake: FakeGpu) -> None:
    graphs = CapturedTopK(GpuScan(table(), InnerProduct()))
    graphs.top_k(maker, asked(1), 3, None)
    child = os.fork()
    if child == 0:
        try:
            graphs.top_k(maker, asked(1), 3, None)
        except BackendError as err:
            os._exit(0 if "forked" in str(err) else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert graphs.top_k(maker, asked(1), 3, None) is not None
