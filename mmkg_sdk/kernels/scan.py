"""Scan: top-k and ranks over a table, by the compiled library."""

from __future__ import annotations

import ctypes
import weakref
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import BackendError
from ..ranking.exact import RankingProtocol, Ranks, TopK, ranks_of_counts
from ..ranking.known_triples import AnswerLists
from ..ranking.scores import CandidateScore, ComplexDistance, InnerProduct
from .library import (
    address,
    check,
    in_place,
    instruction_set_name,
    instruction_set_number,
    library,
    loaded_library,
    pool,
)

_INNER_PRODUCT, _COMPLEX_DISTANCE = 0, 1
_STORAGES = {"auto": -1, "float32": 0, "bfloat16": 1, "int8": 2}  # mmkg_storage
_MAX_ROWS, _MAX_WIDTH = 2**31 - 1, 2**20


Storage = Literal["auto", "float32", "bfloat16", "int8"]


class _Report(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_int64) for name in ("bounded", "settled", "most_settled", "few_settled"))


@dataclass(frozen=True)
class TopKReport:
    """What the answers of one `top_k` took. All answers are exact; how many rows had to be settled is their price.

    Attributes:
        bounded: pairs of query and candidate that a first pass scored; 0 where there was none.
        settled: pairs whose canonical score was computed.
        most_settled: of one query.
        few_settled: share of the queries that took at most 8 k canonical scores.
    """

    bounded: int
    settled: int
    most_settled: int
    few_settled: float


class Scan:
    """A table that answers as `table_ranking.TableRanking` does, faster and in memory of batch x k.

    Safe to call from several threads: of calls that meet, one has the threads, the others run on their own. A forked
    child may go on using it.

    Args:
        table: float32 [rows, width]; read where it is if C-contiguous and aligned, so it must not change.
        score: InnerProduct or ComplexDistance.
        threads: of a call; None takes `default_threads()`.
        instruction_set: one of `instruction_sets()`; None takes the best.
        storage: what the first pass reads; answers are the same. "float32": the table itself. "bfloat16": a copy of
            half its size, about twice as fast. "int8": a copy of a quarter of its size, faster still; each row is
            rounded with a scale of its own. Copies need an inner product, bfloat16 avx512_bf16 or neon_bf16, and int8
            any set but portable and neon; on x86-64 without VNNI queries are rounded to 7 bits, and more rows are
            settled. `ranks` reads the table itself where a sample of the rows says that a copy would take longer: it
            gains most where right answers are near the top, as with a trained model, least where they are in the middle
            of the scores. "auto" takes int8 if it is there and the bound of its error, on a sample of the rows, is at
            most 0.35 standard deviations of a query's scores, or 0.5 where there is no bfloat16 (not so with a few
            large and many small numbers in a row, or rows that have much in common: too many have to be settled), else
            bfloat16, else float32.

    Raises:
        BackendError: no library, an unknown score, a table that is not float32 or of a wrong shape.
    """

    def __init__(
        self,
        table: NDArray[np.float32],
        score: CandidateScore,
        threads: int | None = None,
        instruction_set: str | None = None,
        storage: Storage = "auto",
    ) -> None:
        self._library = loaded_library()
        self._table = _matrix(table, "the table")
        rows, self._width = self._table.shape
        kind, margin = _kind(score, self._width)
        self._pool = pool(threads)
        handle = ctypes.c_void_p()
        number = instruction_set_number(instruction_set)
        if storage not in _STORAGES:
            raise BackendError(f"storage is {storage!r}; expected one of {tuple(_STORAGES)}.")
        arguments = (address(self._table), rows, self._width, kind, margin, number, _STORAGES[storage], self._pool)
        check(self._library.mmkg_scan_open(*arguments, ctypes.byref(handle)))
        self._handle = handle
        # The finalizer holds the table as long as the library may read it.
        weakref.finalize(self, _close, self._library, handle, self._table)

    @staticmethod
    def supports(table: NDArray[np.float32], score: CandidateScore) -> bool:
        """Whether there is a library, and it has this score for such a table."""
        rows, width = table.shape
        fits = rows <= _MAX_ROWS and 1 <= width <= _MAX_WIDTH and table.dtype == np.float32
        return fits and not isinstance(library(), str) and type(score) in (InnerProduct, ComplexDistance)

    @property
    def instruction_set(self) -> str:
        """Name of what it runs on."""
        return instruction_set_name(self._library.mmkg_scan_instruction_set(self._handle))

    @property
    def storage(self) -> str:
        """What the first pass reads: "float32", "bfloat16" or "int8"."""
        return next(name for name, kind in _STORAGES.items() if kind == self._library.mmkg_scan_storage(self._handle))

    @property
    def extra_bytes(self) -> int:
        """Memory kept beside the table."""
        return int(self._library.mmkg_scan_bytes(self._handle))

    @property
    def handle(self) -> ctypes.c_void_p:
        """The library's, open as long as this object lives."""
        return self._handle

    @property
    def table(self) -> NDArray[np.float32]:
        """float32 [rows, width], as it is read."""
        return self._table

    def top_k(
        self,
        queries: NDArray[np.float32],
        k: int,
        excluded: AnswerLists | None = None,
        candidates: NDArray[np.int64] | None = None,
    ) -> TopK:
        """The k best rows of the table for each query; see `table_ranking.TableRanking.top_k`."""
        return self._top_k(queries, k, excluded, candidates, None)

    def top_k_with_report(
        self,
        queries: NDArray[np.float32],
        k: int,
        excluded: AnswerLists | None = None,
        candidates: NDArray[np.int64] | None = None,
    ) -> tuple[TopK, TopKReport]:
        """What `top_k` gives, and what it took."""
        report = _Report()
        found = self._top_k(queries, k, excluded, candidates, report)
        few = report.few_settled / len(queries) if len(queries) else 1.0
        return found, TopKReport(report.bounded, report.settled, report.most_settled, few)

    def _top_k(
        self,
        queries: NDArray[np.float32],
        k: int,
        excluded: AnswerLists | None,
        candidates: NDArray[np.int64] | None,
        report: _Report | None,
    ) -> TopK:
        queries = self._queries(queries)
        batch, rows = len(queries), len(self._table) if candidates is None else len(candidates)
        if candidates is not None:
            candidates = np.ascontiguousarray(candidates, np.int64)
        k = max(1, min(k, rows))
        ids, scores = np.empty((batch, k), np.int64), np.empty((batch, k), np.float32)
        counts = np.zeros(batch, np.int64)
        offsets, others = self._lists(excluded, batch)
        check(
            self._library.mmkg_top_k(
                self._handle,
                address(queries),
                batch,
                k,
                address(offsets),
                address(others),
                address(candidates),
                rows,
                address(ids),
                address(scores),
                address(counts),
                None if report is None else ctypes.byref(report),
            )
        )
        ends = np.zeros(batch + 1, np.int64)
        counts.cumsum(out=ends[1:])
        if ends[-1] == ids.size:
            return TopK(ends, ids.ravel(), scores.ravel())
        found = np.arange(k) < counts[:, None]
        return TopK(ends, ids[found], scores[found])

    def ranks(
        self,
        queries: NDArray[np.float32],
        targets: NDArray[np.int64],
        known: AnswerLists,
        protocol: RankingProtocol,
    ) -> Ranks:
        """Filtered ranks of the right answers; see `table_ranking.TableRanking.ranks`."""
        return ranks_of_counts(self.counts(queries, targets, None, known, protocol), protocol)

    def counts(
        self,
        queries: NDArray[np.float32],
        targets: NDArray[np.int64],
        target_scores: NDArray[np.float32] | None,
        known: AnswerLists,
        protocol: RankingProtocol,
    ) -> NDArray[np.int64]:
        """What this table, as a part of a larger one, adds to the counts of the whole, int64 [3, batch].

        See `ranking.exact.filtered_counts`.

        Args:
            target_scores: what `pairs` gives each target in the part where it lies; None: all lie in this table.
        """
        queries, targets = self._queries(queries), np.ascontiguousarray(targets, np.int64)
        batch, counts = len(queries), np.zeros((3, len(queries)), np.int64)
        if targets.shape != (batch,):
            raise BackendError(f"{batch} queries and targets of shape {list(targets.shape)}; expected one a query.")
        offsets, others = self._lists(known, batch)
        asked = (self._handle, address(queries), batch, address(targets))
        lists = (address(offsets), address(others), protocol.known_answer_penalty)
        given = [address(row) for row in counts]
        if target_scores is None:
            check(self._library.mmkg_ranks(*asked, *lists, *given))
            return counts
        scores = np.ascontiguousarray(target_scores, np.float32)
        if scores.shape != (batch,):
            raise BackendError(f"{batch} queries and scores of shape {list(scores.shape)}; expected one a query.")
        check(self._library.mmkg_ranks_in_part(*asked, address(scores), *lists, *given))
        return counts

    def pairs(self, queries: NDArray[np.float32], ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """The scores of query i and row ids[i], float32 [batch], as `top_k` gives them to the bit."""
        queries, ids = self._queries(queries), np.ascontiguousarray(ids, np.int64)
        if ids.shape != (len(queries),):
            raise BackendError(f"{len(queries)} queries and ids of shape {list(ids.shape)}; expected one a query.")
        scores = np.empty(len(queries), np.float32)
        status = self._library.mmkg_pair_scores(
            self._handle, address(queries), len(queries), address(ids), address(scores)
        )
        check(status)
        return scores

    def _queries(self, queries: NDArray[np.float32]) -> NDArray[np.float32]:
        queries = _matrix(queries, "queries")
        if queries.shape[1] != self._width:
            raise BackendError(f"queries have width {queries.shape[1]}, the table {self._width}; expected the same.")
        return queries

    def _lists(self, lists: AnswerLists | None, batch: int) -> tuple[NDArray[np.int64] | None, ...]:
        if lists is None:
            return None, None
        offsets = np.ascontiguousarray(lists.offsets, np.int64)
        ids = np.ascontiguousarray(lists.ids, np.int64)
        if offsets.shape != (batch + 1,) or ids.ndim != 1 or offsets[-1] != len(ids):
            raise BackendError(
                f"answer lists of {len(offsets) - 1} queries and {len(ids)} ids do not fit {batch} queries."
            )
        return offsets, ids


def _matrix(array: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    if array.ndim != 2 or array.dtype != np.float32:
        raise BackendError(f"{name}: {array.dtype} {list(array.shape)}; expected float32 with two axes.")
    return in_place(array)


def _kind(score: CandidateScore, width: int) -> tuple[int, float]:
    if isinstance(score, InnerProduct):
        return _INNER_PRODUCT, 0.0
    if isinstance(score, ComplexDistance):
        return _COMPLEX_DISTANCE, float(score.margin)
    raise BackendError(f"there is no kernel for {score!r} on vectors of width {width}.")


def _close(loaded: ctypes.CDLL, handle: ctypes.c_void_p, table: NDArray[np.float32]) -> None:
    loaded.mmkg_scan_close(handle)
