"""AnswerCall: from the ids of queries to the ids and scores of their answers, in one call of the compiled library."""

from __future__ import annotations

import ctypes
import weakref
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import BackendError
from ..ranking.exact import TopK
from ..ranking.known_triples import KnownTriples, Queries
from .library import address, check, in_place, loaded_library
from .query_context import QueryContext
from .rotation import Rotations
from .scan import Scan
from .tucker import TuckerCore

_NAN = 2  # mmkg_status


@dataclass(frozen=True)
class TransformedQueries:
    """Query vectors by a transformer, with a Tucker core behind it or without."""

    context: QueryContext
    core: TuckerCore | None

    def vectors(self, table: NDArray[np.float32], queries: Queries) -> NDArray[np.float32]:
        """float32 [batch, width], finite; errors are those of QueryContext and TuckerCore."""
        vectors, relation = self.context.encode(table, queries.entity, queries.relation, queries.direction)
        return vectors if self.core is None else self.core.apply(vectors, relation)


# What makes query vectors on the CPU.
QueryKernels = TransformedQueries | Rotations


class _Parts(ctypes.Structure):
    """mmkg_answer_parts."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("scan", "context", "core", "rotations")),
        ("num_rotations", ctypes.c_int64),
    )


class _Index(ctypes.Structure):
    """mmkg_known_triples."""

    _fields_ = (
        ("keys", ctypes.c_void_p),
        ("num_keys", ctypes.c_int64),
        ("offsets", ctypes.c_void_p),
        ("answers", ctypes.c_void_p),
        ("num_answers", ctypes.c_int64),
    )

    @classmethod
    def of(cls, known: KnownTriples) -> _Index:
        """The arrays where they lie, which live as long as this does."""
        arrays = {name: _ids(name, array, len(array)) for name, array in known.arrays().items()}
        sizes = {name: len(array) for name, array in arrays.items()}
        if sizes["offsets"] != sizes["keys"] + 1:
            raise BackendError(f"an index of {sizes['keys']} keys and {sizes['offsets']} offsets; expected one more.")
        places = {name: address(array) for name, array in arrays.items()}
        found = cls(num_keys=sizes["keys"], num_answers=sizes["answers"], **places)
        found._arrays = arrays
        return found


class AnswerCall:
    """What query kernels, an index of known answers and a scan give one after the other, to the bit, in one call.

    Safe to call from several threads; a forked child may go on using it.

    Args:
        query: of the scan's width and number of threads.
        scan: its table is the one that queries ask about.

    Raises:
        BackendError: parts that do not belong together, or an empty table.
    """

    def __init__(self, query: QueryKernels, scan: Scan) -> None:
        self._library = loaded_library()
        self._query, self.scan = query, scan
        if isinstance(query, Rotations):
            if query.width != scan.table.shape[1]:
                raise BackendError(f"rotations of width {query.width}, a table of {scan.table.shape[1]}.")
            parts = _Parts(scan.handle, None, None, *query.arguments())
        else:
            core = query.core and query.core.handle
            parts = _Parts(scan.handle, query.context.handle, core, None, 0)
        handle = ctypes.c_void_p()
        check(self._library.mmkg_answer_open(ctypes.byref(parts), ctypes.byref(handle)))
        self._handle = handle
        self._index: tuple[KnownTriples | None, _Index] = None, _Index()
        weakref.finalize(self, self._library.mmkg_answer_close, handle)

    def top_k(
        self,
        queries: Queries,
        k: int,
        known: KnownTriples | None = None,
        candidates: NDArray[np.int64] | None = None,
    ) -> TopK:
        """The k best rows of the table for each query, best first; equal scores by ascending row.

        Args:
            queries: int64 [batch] each.
            k: how many to keep, at least 1; a query with fewer candidates that are left gets those.
            known: whose answers are left out; None leaves out none.
            candidates: int64, ascending: rank only these rows; None = all.

        Raises:
            BackendError: wrong shape or dtype, an id out of range, a vector that float32 cannot hold, a score that is
                NaN, a damaged index.
        """
        batch, rows = len(queries), len(self.scan.table) if candidates is None else len(candidates)
        entity, relation = _ids("entity", queries.entity, batch), _ids("relation", queries.relation, batch)
        direction = _ids("direction", queries.direction, batch)
        chosen = None if candidates is None else _ids("candidates", candidates, rows)
        index = None if known is None else self._described(known)
        k = max(1, min(k, rows))
        offsets = np.empty(batch + 1, np.int64)
        ids, scores = np.empty(batch * k, np.int64), np.empty(batch * k, np.float32)
        status = self._library.mmkg_answer_top_k(
            self._handle,
            address(entity),
            address(relation),
            address(direction),
            batch,
            k,
            None if index is None else ctypes.addressof(index),
            address(chosen),
            rows,
            address(offsets),
            address(ids),
            address(scores),
        )
        if status == _NAN:
            self._query.vectors(self.scan.table, queries)  # says so where a vector is what is not finite
        check(status)
        end = offsets[-1]
        return TopK(offsets, ids, scores) if end == len(ids) else TopK(offsets, ids[:end].copy(), scores[:end].copy())

    def _described(self, known: KnownTriples) -> _Index:
        """The index, which must not change, as the library takes it; that of the last call is kept."""
        last, index = self._index
        if last is not known:
            index = _Index.of(known)
            self._index = known, index
        return index


def _ids(name: str, array: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    if array.shape != (count,) or array.dtype != np.int64:
        raise BackendError(f"{name}: {array.dtype} {list(array.shape)}; expected int64 [{count}].")
    return in_place(array)
