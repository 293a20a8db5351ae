"""GpuRotations, its launcher and kernel, against the library for the CPU to the bit, alone and in a CUDA graph.

The kernel runs in Triton's interpreter, behind a stand-in for NVIDIA's driver; how it rounds when it is compiled is
tested in ../test_products.py. Nothing here has run on a GPU.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mmkg_sdk.backends.captured import CapturedTopK
from mmkg_sdk.errors import BackendError
from mmkg_sdk.kernels import Rotations, Scan
from mmkg_sdk.kernels.gpu import GpuScan, Stream
from mmkg_sdk.kernels.gpu.arguments import TableOnGpu
from mmkg_sdk.kernels.gpu.rotation import GpuRotations
from mmkg_sdk.ranking.known_triples import AnswerLists, Queries
from mmkg_sdk.ranking.scores import ComplexDistance
from tests.kernels.references.query import random_questions

from .conftest import FakeGpu

ROWS, RELATIONS = 19, 5
SCORE = ComplexDistance(6.0)


def made(width: int, size: int, rows: int = ROWS) -> tuple[np.ndarray, np.ndarray, Queries]:
    """Rotations, a table and queries."""
    rng = np.random.default_rng(width)
    phases = rng.uniform(-4, 4, (RELATIONS, width // 2))
    rotations = np.concatenate([np.cos(phases), np.sin(phases)], axis=1).astype(np.float32)
    asked = random_questions(rng, size, rows, RELATIONS)
    table = rng.standard_normal((rows, width)).astype(np.float32)
    return rotations, table, Queries(asked["entity"], asked["relation"], asked["direction"])


def assert_same_bits(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_array_equal(found.view(np.uint32), expected.view(np.uint32))


@pytest.mark.parametrize("width", [2, 6, 34, 510, 512, 514])  # around a block of 256 pairs
def test_it_gives_the_bits_of_the_cpu_at_every_width(width: int, fake: FakeGpu) -> None:
    rotations, table, queries = made(width, 9)
    table[0] = 0.0  # zeros have a sign
    table[1] *= np.float32(1e-41)
    queries.entity[:4] = [0, 0, 1, 1]
    queries.direction[:4] = [0, 1, 0, 1]
    found = GpuRotations(rotations).query_vectors(TableOnGpu.copied(fake.gpu, table), queries)
    assert_same_bits(found.numpy(), Rotations(rotations).vectors(table, queries))
    assert set(fake.launches.launched) == {"rotate"}


def test_rows_with_something_behind_them_give_the_same(fake: FakeGpu) -> None:
    rotations, table, queries = made(6, 7)
    wide = np.concatenate([table, np.full((ROWS, 3), np.nan, np.float32)], axis=1)
    placed = replace(TableOnGpu.copied(fake.gpu, wide), shape=table.shape)
    kernel = GpuRotations(rotations)
    expected = Rotations(rotations).vectors(table, queries)
    assert_same_bits(kernel.query_vectors(placed, queries, fake.gpu.stream()).numpy(), expected)
    for stride in (5, 2**20 + 1):
        with pytest.raises(BackendError, match="stride is not from the width to 2\\^20"):
            kernel.query_vectors(replace(placed, stride=stride), queries)
    with pytest.raises(BackendError, match=r"the table: float32 \[19, 9\]; expected float32 \[entities, 6\]"):
        kernel.query_vectors(TableOnGpu.copied(fake.gpu, wide), queries)


def test_an_id_on_the_gpu_that_is_none_spoils_its_own_query_and_reads_nothing(fake: FakeGpu) -> None:
    rotations, table, queries = made(6, 12)
    expected = Rotations(rotations).vectors(table, queries)
    ids = np.stack([queries.entity, queries.relation, queries.direction])
    for query, (row, wrong) in enumerate([(0, ROWS), (0, -1), (1, RELATIONS), (1, -(10**12)), (2, 2), (2, -1)]):
        ids[row, query] = wrong
    vectors = fake.gpu.empty((12, 6), np.float32)
    columns = [fake.gpu.array(column) for column in ids]
    stream = fake.gpu.stream()
    known = TableOnGpu.copied(fake.gpu, table)
    entity, relation, direction = (column.pointer for column in columns)
    GpuRotations(rotations).launch(known, 12, (entity, relation, direction), vectors.pointer, stream)
    found = vectors.numpy(stream)
    assert np.isnan(found[:6]).all()
    assert_same_bits(found[6:], expected[6:])


def test_what_does_not_fit_is_refused_and_leaves_nothing_behind(fake: FakeGpu) -> None:
    before = fake.driver.memory_used
    rotations, table, queries = made(6, 4)
    kernel, placed = GpuRotations(rotations), TableOnGpu.copied(fake.gpu, table)
    for name, limit in (("entity", ROWS), ("relation", RELATIONS), ("direction", 2)):
        for wrong in (-1, limit):
            ids = getattr(queries, name).copy()
            ids[3] = wrong
            with pytest.raises(BackendError, match=f"question 3: {name} {wrong} is not from 0 to {limit - 1}"):
                kernel.query_vectors(placed, replace(queries, **{name: ids}))
    with pytest.raises(BackendError, match=r"direction: int64 \[3\]; expected int64 \[4\]"):
        kernel.query_vectors(placed, replace(queries, direction=queries.direction[:3]))
    assert kernel.query_vectors(placed, queries[:0]).numpy().shape == (0, 6)
    del kernel, placed
    with pytest.raises(BackendError, match=r"rotations: float32 \[5, 5\]; expected float32 \[relations, width\]"):
        GpuRotations(rotations[:, :5])
    rotations[2, 3] = np.nan
    with pytest.raises(BackendError, match="rotations holds NaN or infinity at 15"):
        GpuRotations(rotations)
    assert fake.driver.memory_used == before


@pytest.mark.parametrize(("batch", "k", "longest"), [(1, 3, 0), (2, 17, 64), (17, 2, 5)])
def test_captured_answers_are_those_of_launches_and_of_the_cpu(
    batch: int, k: int, longest: int, fake: FakeGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    captures: list[Stream] = []
    capture = Stream.capture
    monkeypatch.setattr(Stream, "capture", lambda stream: captures.append(stream) or capture(stream))
    rotations, table, queries = made(6, batch, 140)
    excluded = None
    if longest:
        excluded = AnswerLists(longest * np.arange(batch + 1), np.tile(2 * np.arange(longest), batch))
    scan, kernel = GpuScan(table, SCORE), GpuRotations(rotations)
    graphs = CapturedTopK(scan)
    vectors = Rotations(rotations).vectors(table, queries)
    by_cpu = Scan(table, SCORE, storage="float32").top_k(vectors, k, excluded)
    by_launches = scan.top_k(kernel.query_vectors(scan.table, queries), k, excluded)
    for found in (graphs.top_k(kernel, queries, k, excluded), graphs.top_k(kernel, queries, k, excluded), by_launches):
        assert found is not None
        np.testing.assert_array_equal(found.offsets, by_cpu.offsets)
        np.testing.assert_array_equal(found.ids, by_cpu.ids)
        assert_same_bits(found.scores, by_cpu.scores)
    assert len(captures) == 1
