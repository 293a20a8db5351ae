"""CapturedTopK: queries from ids to ids on a GPU as one CUDA graph. NOT RUN ON A GPU YET.

One query takes sixteen kernels or more, most of them over before the host has launched the next. Captured, all of it is
one launch: ids and excluded rows of the host are copied to the GPU, query vectors are made, the table is scanned, and
ids and scores come back.

A graph has sizes of its own, and queries are filled up to them:

  batch    1, 16, 64 or 256 (mmkg_gpu_padded_batch): tiles of the kernels have 16, 64 and 128 queries, so filling up
           takes hardly longer; a single query is the commonest. 256 are asked at a time.
  k        16, 64, 256 or 1,024 answers: at most four times as many rows are settled as were asked for
  lists    none, or up to 64 or 1,024 excluded rows a query, in all an eighth of that for each of the batch
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..kernels.gpu import GpuScan, Stream, TopKOnGpu
from ..kernels.gpu.arguments import TableOnGpu
from ..kernels.gpu.library import NoGpuMemory, gpu_library
from ..kernels.gpu.pinned import PinnedArray
from ..ranking.exact import TopK
from ..ranking.known_triples import AnswerLists, Queries
from .answer_parts import appended, chosen, spread

_BATCH = 256
_K = (16, 64, 256, 1024)
_LONGEST = (0, 64, 1024)
# Callers at once that graphs are kept for, and graphs of each: of the sizes above a caller seldom asks for more.
_LANES, _GRAPHS = 16, 8
_ALIGNED = 32  # int64 numbers in 256 bytes


class QueriesOnGpu(Protocol):
    """What makes query vectors on a GPU."""

    def launch(self, table: TableOnGpu, batch: int, ids: tuple[int, int, int], vectors: int, stream: Stream) -> None:
        """Put it on a stream, which may be in a capture.

        Args:
            table: the entities.
            ids: addresses on the GPU of entity, relation and direction, int64 [batch] each. One that is out of range
                makes NaN of its query.
            vectors: address on the GPU of float32 [batch, width], written. What a row gives is the same to the bit for
                all batches of one mmkg_gpu_padded_batch.
        """
        ...


@dataclass(frozen=True)
class Sizes:
    """Of a graph: queries, answers of each, and excluded rows of a query and of all."""

    batch: int
    k: int
    longest: int
    room: int

    @classmethod
    def of(cls, batch: int, k: int, excluded: AnswerLists | None, rows: int) -> Sizes | None:
        """Those that queries of a table of so many rows go into; None: there are none."""
        lengths = np.zeros(1, np.int64) if excluded is None else np.diff(excluded.offsets)
        if not 1 <= batch <= _BATCH or not 1 <= k <= min(_K[-1], rows):
            return None
        padded = int(gpu_library().mmkg_gpu_padded_batch(batch))
        most = min(next(size for size in _K if k <= size), rows)
        longest, total = lengths.max(), lengths.sum()
        for limit in _LONGEST:
            room = max(limit, padded * limit // 8)
            if longest <= limit and total <= room:
                return cls(padded, most, limit, room)
        return None


class CapturedTopK:
    """Answers of queries among all rows of a scan. Safe to call from several threads.

    Each call has a stream, and the graphs that were captured on it, to itself. Up to 16 calls at once are served so,
    with 8 graphs each, those used last. A graph has the memory that it reads and writes, and what its kernels work in.
    All of it is given back with this object, which goes with its table: when entities are added, or the model closed.

    In a forked child every call fails, as all of the GPU does there.
    """

    def __init__(self, scan: GpuScan) -> None:
        self._scan = scan
        self._idle = [_Lane(scan) for _ in range(_LANES)]  # taken and given back without a lock, which a fork may break

    def top_k(self, maker: QueriesOnGpu, queries: Queries, k: int, excluded: AnswerLists | None) -> TopK | None:
        """The k best rows for each query, as the scan gives them for the vectors of `maker`, to the bit.

        Queries without a certificate are answered by the scan itself, from the same vectors.

        Args:
            queries: rows of the table, relations and directions, which the caller has checked.
            k: at least 1.
            excluded: rows that are no answer, ascending for each query.

        Returns:
            None where the usual launches must do it: sizes that no graph has, more calls at once than there are graphs
            for, or too little memory for one.

        Raises:
            BackendError: a score is NaN, or the GPU failed.
        """
        sizes = Sizes.of(len(queries), k, excluded, self._scan.rows)
        if sizes is None or sizes.batch > self._scan.largest_launch(sizes.k, sizes.longest):
            return None
        try:
            lane = self._idle.pop()
        except IndexError:
            return None
        try:
            found = lane.answer(maker, sizes, queries, k, excluded)
        except BaseException as err:
            self._idle.append(_Lane(self._scan))  # nothing of the other is known to be whole; its memory goes
            if isinstance(err, NoGpuMemory):
                return None
            raise
        self._idle.append(lane)
        return found


class _Lane:
    """A stream and the graphs of it; one call has them at a time."""

    def __init__(self, scan: GpuScan) -> None:
        self._scan = scan
        self._stream: Stream | None = None
        self._graphs: OrderedDict[tuple[QueriesOnGpu, Sizes], _Captured] = OrderedDict()

    def answer(self, maker: QueriesOnGpu, sizes: Sizes, queries: Queries, k: int, excluded: AnswerLists | None) -> TopK:
        if self._stream is None:
            self._stream = self._scan.gpu.stream()
        key = maker, sizes
        if key not in self._graphs:
            if len(self._graphs) == _GRAPHS:
                self._graphs.popitem(last=False)
            self._graphs[key] = _Captured(self._scan, maker, sizes, self._stream)
        self._graphs.move_to_end(key)
        graph = self._graphs[key]
        found, certain = graph.answer(queries, k, excluded)
        left = np.flatnonzero(~certain)
        if not len(left):
            return found
        lists = None if excluded is None else chosen(excluded, left)
        others = self._scan.top_k(graph.vectors()[left], k, lists, stream=self._stream.handle)
        return appended(found, spread(others, left, len(queries)))


class _Captured:
    """A graph, and the memory that it was captured with."""

    def __init__(self, scan: GpuScan, maker: QueriesOnGpu, sizes: Sizes, stream: Stream) -> None:
        gpu, self._sizes, self._stream = scan.gpu, sizes, stream
        counts = (*[sizes.batch] * 3, sizes.batch + 1, max(sizes.room, 1))
        starts = np.cumsum([0, *(-(-count // _ALIGNED) * _ALIGNED for count in counts)]).tolist()
        self._given = PinnedArray(gpu, starts[-1], np.int64)
        parts = [self._given.array[start : start + count] for start, count in zip(starts, counts, strict=False)]
        self._ids, self._offsets, self._excluded = parts[:3], parts[3], parts[4]
        self._given.array[:] = 0
        self._placed = gpu.empty(starts[-1], np.int64, stream)
        entity, relation, direction, offsets, others = (self._placed.pointer + 8 * start for start in starts[:-1])
        self._vectors = gpu.empty((sizes.batch, scan.table.shape[1]), np.float32, stream)
        self._answers = TopKOnGpu(gpu, sizes.batch, sizes.k)
        self._found = PinnedArray(gpu, self._answers.memory.nbytes, np.uint8)
        with stream.capture() as self._graph:
            self._placed.copy_from(self._given.array, stream)
            maker.launch(scan.table, sizes.batch, (entity, relation, direction), self._vectors.pointer, stream)
            scan.launch_top_k(self._vectors, self._answers, stream, (offsets, others), sizes.longest)
            self._answers.memory.copy_to(self._found.array, stream)

    def answer(self, queries: Queries, k: int, excluded: AnswerLists | None) -> tuple[TopK, NDArray[np.bool_]]:
        """As TopKOnGpu gives them."""
        batch = len(queries)
        for place, ids in zip(self._ids, (queries.entity, queries.relation, queries.direction), strict=True):
            place[:batch] = ids  # those behind ask what was asked there before, or of the first entity
        if excluded is None:
            self._offsets[:] = 0
        else:
            self._offsets[: batch + 1] = excluded.offsets
            self._offsets[batch + 1 :] = excluded.offsets[-1]
            self._excluded[: len(excluded.ids)] = excluded.ids
        try:
            self._graph.launch(self._stream)
        finally:  # whatever comes between: the memory stays until the work is done
            self._stream.synchronize()
        return self._answers.answers(self._found.array, batch, k)

    def vectors(self) -> NDArray[np.float32]:
        """Those of the last queries, on the host."""
        return self._vectors.numpy(self._stream)
