"""GpuScan: top-k and ranks over a table on a GPU, equal to those of kernels.Scan to the bit.

NOT RUN ON A GPU YET: its logic is tested on CPUs, with a stand-in for NVIDIA's driver and Triton's interpreter.
"""

from __future__ import annotations

import ctypes
import threading
import weakref
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...errors import BackendError
from ...ranking.exact import RankingProtocol, Ranks, TopK, ranks_of_counts
from ...ranking.known_triples import AnswerLists
from ...ranking.scores import CandidateScore, ComplexDistance, InnerProduct
from ..library import address, in_place
from .answers import TopKOnGpu
from .arguments import OnGpu, TableOnGpu, gpu_of
from .device import Stream
from .library import check, gpu_library

MAX_K = 1024
_MAX_ROWS, _MAX_WIDTH = 2**31 - 1, 2**20
_INNER_PRODUCT, _COMPLEX_DISTANCE = 0, 1  # mmkg_score
_ON_HOST, _ON_GPU = 0, 1  # mmkg_place


@dataclass(frozen=True)
class GpuScanReport:
    """How the answers of a call came about; all are exact.

    Attributes:
        first: queries that were certain after the first pass over the copy in bfloat16.
        wider: after one that settled more rows.
        exact: after canonical scores of all rows.
    """

    first: int
    wider: int
    exact: int


class _Report(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_int64) for name in ("first", "wider", "exact"))


class GpuScan:
    """A table on a GPU that answers as `tables.TableRanking` does.

    The table is copied: in float32, and of inner products in bfloat16 for first passes. Working memory comes from a
    pool that keeps it: at most 1 GiB at a time for each call that runs, larger batches are answered in parts
    (include/mmkg_cuda_scan.h).

    Safe to call from several threads, which do not wait for each other: without a stream, each has its own.

    Args:
        table: float32 [rows, width], for inner products finite; not needed any more afterwards.
        score: InnerProduct or ComplexDistance.
        device: "cuda" or "cuda:1".

    Attributes:
        gpu, rows: where it is, and how many.

    Raises:
        BackendError: names what is missing: the driver, the GPU, memory, kernels for it or for the score; or what is
            wrong with the table.
    """

    def __init__(self, table: NDArray[np.float32], score: CandidateScore, device: str = "cuda") -> None:
        kind, margin = _kind(score)
        if table.ndim != 2 or table.dtype != np.float32:
            raise BackendError(f"the table: {table.dtype} {list(table.shape)}; expected float32 with two axes.")
        self.gpu = gpu_of(device)
        self._library = gpu_library()
        self.rows, self._width = table.shape
        self._streams = threading.local()
        handle = ctypes.c_void_p()
        table = in_place(table)
        arguments = (self.gpu.handle, address(table), self.rows, self._width, kind, margin)
        check(self._library.mmkg_gpu_scan_open(*arguments, ctypes.byref(handle)))
        self._handle = handle
        weakref.finalize(self, self._library.mmkg_gpu_scan_close, handle).atexit = False

    @staticmethod
    def supports(table: NDArray[np.float32], score: CandidateScore) -> bool:
        """Whether there are kernels for such a table and score; says nothing of the GPU."""
        rows, width = table.shape
        fits = rows <= _MAX_ROWS and 1 <= width <= _MAX_WIDTH and table.dtype == np.float32
        return fits and (type(score) is InnerProduct or (type(score) is ComplexDistance and width % 2 == 0))

    @property
    def table_bytes(self) -> int:
        """GPU memory that the table takes, in both copies."""
        return int(self._library.mmkg_gpu_scan_bytes(self._handle))

    @property
    def table(self) -> TableOnGpu:
        """Its rows in float32, to make queries of; they are not copied."""
        pointer, stride = ctypes.c_uint64(), ctypes.c_int64()
        check(self._library.mmkg_gpu_scan_rows(self._handle, ctypes.byref(pointer), ctypes.byref(stride)))
        return TableOnGpu(self, pointer.value, (self.rows, self._width), stride.value)

    def top_k(
        self,
        queries: NDArray[np.float32] | OnGpu,
        k: int,
        excluded: AnswerLists | None = None,
        candidates: NDArray[np.int64] | None = None,
        stream: int | None = None,
    ) -> TopK:
        """The k best rows of the table for each query; see `tables.TableRanking.top_k`.

        Args:
            queries: float32 [batch, width], on the host or on this GPU.
            k: from 1 to 1,024.
            stream: CUstream that the queries are written on; None: 0, the legacy default stream, for queries on the
                GPU, and a stream of the calling thread for others.
        """
        return self.top_k_with_report(queries, k, excluded, candidates, stream)[0]

    def top_k_with_report(
        self,
        queries: NDArray[np.float32] | OnGpu,
        k: int,
        excluded: AnswerLists | None = None,
        candidates: NDArray[np.int64] | None = None,
        stream: int | None = None,
    ) -> tuple[TopK, GpuScanReport]:
        """What `top_k` gives, and how it came about."""
        pointer, place, batch, kept = self._queries(queries)
        rows = self.rows if candidates is None else len(candidates)
        k = max(1, min(k, rows))
        if k > MAX_K:
            raise BackendError(f"k is {k}; the CUDA kernels go to {MAX_K}. Ask for fewer, or rank on the CPU.")
        if candidates is not None:
            candidates = np.ascontiguousarray(candidates, np.int64)
        ids, scores = np.empty((batch, k), np.int64), np.empty((batch, k), np.float32)
        counts, report = np.zeros(batch, np.int64), _Report()
        offsets, others = _lists(excluded, batch)
        lists = (address(offsets), address(others), address(candidates), rows)
        answers = (address(ids), address(scores), address(counts), ctypes.byref(report))
        at = self._stream(place, stream)
        check(self._library.mmkg_gpu_top_k(self._handle, pointer, place, batch, k, *lists, *answers, at))
        del kept  # read until here
        found = np.arange(k) < counts[:, None]
        ends = np.concatenate([[0], counts.cumsum()])
        return TopK(ends, ids[found], scores[found]), _report(report)

    def largest_launch(self, k: int, longest: int = 0) -> int:
        """The largest batch of `launch_top_k`, at least 1, with at most `longest` excluded rows a query."""
        return int(self._library.mmkg_gpu_top_k_batch(self._handle, k, longest))

    def launch_top_k(
        self,
        queries: OnGpu,
        answers: TopKOnGpu,
        stream: Stream,
        excluded: tuple[int, int] | None = None,
        longest: int = 0,
    ) -> None:
        """Put the first pass of `top_k` on a stream; it is not waited for, and can be captured (`Stream.capture`).

        Args:
            queries: float32 [batch, width] on the GPU, at most `answers.batch` and `largest_launch` of them.
            answers: written; `answers.read` says which are certain. Those that are not are asked of `top_k`.
            excluded: addresses on the GPU of offsets int64 [batch + 1] from 0, and rows int64, strictly ascending for
                each query. What they hold is not checked.
            longest: at least the length of the longest list.
        """
        pointer, _, batch, _ = self._queries(queries)
        if batch > answers.batch:
            raise BackendError(f"{batch} queries and room for the answers of {answers.batch}; expected no more.")
        lists = (answers.no_offsets,) * 2 if excluded is None else excluded
        outputs = (answers.ids, answers.scores, answers.counts, answers.certificates)
        arguments = (pointer, batch, answers.k, *lists, longest, *outputs, stream.handle)
        check(self._library.mmkg_gpu_top_k_launch(self._handle, *arguments))

    def ranks(
        self,
        queries: NDArray[np.float32] | OnGpu,
        targets: NDArray[np.int64],
        known: AnswerLists,
        protocol: RankingProtocol,
        stream: int | None = None,
    ) -> Ranks:
        """Filtered ranks of the right answers; see `tables.TableRanking.ranks`, and `top_k` for queries and stream."""
        pointer, place, batch, kept = self._queries(queries)
        targets = np.ascontiguousarray(targets, np.int64)
        if targets.shape != (batch,):
            raise BackendError(f"{batch} queries and targets of shape {list(targets.shape)}; expected one a query.")
        counts, report = np.zeros((3, batch), np.int64), _Report()
        offsets, others = _lists(known, batch)
        lists = (address(targets), address(offsets), address(others), protocol.known_answer_penalty)
        answers = (*(address(row) for row in counts), ctypes.byref(report))
        at = self._stream(place, stream)
        check(self._library.mmkg_gpu_ranks(self._handle, pointer, place, batch, *lists, *answers, at))
        del kept
        return ranks_of_counts(counts, protocol)

    def pairs(
        self, queries: NDArray[np.float32] | OnGpu, ids: NDArray[np.int64], stream: int | None = None
    ) -> NDArray[np.float32]:
        """The scores of query i and row ids[i], float32 [batch], as `top_k` gives them to the bit."""
        pointer, place, batch, kept = self._queries(queries)
        ids = np.ascontiguousarray(ids, np.int64)
        if ids.shape != (batch,):
            raise BackendError(f"{batch} queries and ids of shape {list(ids.shape)}; expected one a query.")
        scores = np.empty(batch, np.float32)
        asked = (pointer, place, batch, address(ids), address(scores), self._stream(place, stream))
        check(self._library.mmkg_gpu_pair_scores(self._handle, *asked))
        del kept
        return scores

    def _queries(self, queries: NDArray[np.float32] | OnGpu) -> tuple[int, int, int, object]:
        """Address, place and number of queries, and what must stay until they were read."""
        if len(queries.shape) != 2 or queries.dtype != np.float32 or queries.shape[1] != self._width:
            raise BackendError(
                f"queries: {queries.dtype} {list(queries.shape)}; expected float32 [batch, {self._width}]."
            )
        if not isinstance(queries, np.ndarray):
            return queries.pointer, _ON_GPU, queries.shape[0], queries
        host = in_place(queries)
        return address(host) or 0, _ON_HOST, len(host), host

    def _stream(self, place: int, stream: int | None) -> int:
        if stream is not None:
            return stream
        if place == _ON_GPU:
            return 0
        mine = getattr(self._streams, "mine", None)
        if mine is None:
            mine = self._streams.mine = Stream(self.gpu)
        return int(mine.handle)


def _kind(score: CandidateScore) -> tuple[int, float]:
    if isinstance(score, InnerProduct):
        return _INNER_PRODUCT, 0.0
    if isinstance(score, ComplexDistance):
        return _COMPLEX_DISTANCE, float(score.margin)
    raise BackendError(f"there is no CUDA scan for {score!r}; expected an inner product or a distance.")


def _lists(lists: AnswerLists | None, batch: int) -> tuple[NDArray[np.int64] | None, NDArray[np.int64] | None]:
    if lists is None:
        return None, None
    offsets, ids = np.ascontiguousarray(lists.offsets, np.int64), np.ascontiguousarray(lists.ids, np.int64)
    if offsets.shape != (batch + 1,) or ids.ndim != 1 or offsets[-1] != len(ids):
        raise BackendError(f"answer lists of {len(offsets) - 1} queries and {len(ids)} ids do not fit {batch} queries.")
    return offsets, ids


def _report(report: _Report) -> GpuScanReport:
    return GpuScanReport(report.first, report.wider, report.exact)
