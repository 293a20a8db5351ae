"""Exact ranking by inner product, in numpy: the k best candidates, and the rank of a known answer.

The plain statement of what the SDK answers; faster kernels are held against it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .errors import BackendError
from .known_triples import AnswerLists

# Candidates scored at a time: bounds memory to queries x this x 4 bytes, whatever the size of the table.
CANDIDATE_BLOCK = 65_536


@dataclass(frozen=True)
class TopK:
    """Best candidates of a batch, flat: those of query i are ids[offsets[i]:offsets[i + 1]], best first."""

    offsets: NDArray[np.int64]
    ids: NDArray[np.int64]
    scores: NDArray[np.float32]


@dataclass(frozen=True)
class Ranks:
    """Filtered ranks of the right answers, float64 [batch].

    Attributes:
        published: 1 + better + floor(equal / 2), the rule of MyGO's evaluation (spec section 4).
        realistic: 1 + better + equal / 2, the mean of the optimistic and the pessimistic rank
            (Berrendorf et al. 2020).
    """

    published: NDArray[np.float64]
    realistic: NDArray[np.float64]


def top_k(queries: NDArray[np.float32], table: NDArray[np.float32], k: int, excluded: AnswerLists | None) -> TopK:
    """The k best rows of the table for each query, best first; equal scores by ascending row.

    Args:
        queries: float32 [batch, d].
        table: float32 [candidates, d].
        k: how many to keep; a query with fewer candidates that are not excluded gets those.
        excluded: rows that are no answer, per query.

    Raises:
        BackendError: if a score is NaN.
    """
    batch = len(queries)
    rows: NDArray[np.int64] = np.empty(0, np.int64)
    ids: NDArray[np.int64] = np.empty(0, np.int64)
    scores: NDArray[np.float32] = np.empty(0, np.float32)
    for start in range(0, len(table), CANDIDATE_BLOCK):
        block = queries @ table[start : start + CANDIDATE_BLOCK].T
        check_scores(block)
        if excluded is not None:
            inside = (excluded.ids >= start) & (excluded.ids < start + block.shape[1])
            block[excluded.rows()[inside], excluded.ids[inside] - start] = -np.inf
        found_rows, found_ids = _best(block, k)
        rows = np.concatenate([rows, found_rows])
        scores = np.concatenate([scores, block[found_rows, found_ids]])
        ids = np.concatenate([ids, found_ids + start])
    order = np.lexsort((ids, -scores, rows))
    rows, ids, scores = rows[order], ids[order], scores[order]
    position = np.arange(len(rows)) - np.searchsorted(rows, rows)
    kept = position < k
    offsets = np.searchsorted(rows[kept], np.arange(batch + 1))
    return TopK(offsets, ids[kept], scores[kept])


def filtered_ranks(scores: NDArray[np.float32], targets: NDArray[np.int64], known: AnswerLists) -> Ranks:
    """Where the right answer stands among the candidates that are not known answers themselves.

    Args:
        scores: float32 [batch, candidates].
        targets: int64 [batch], the right answer.
        known: all known answers of each query; the target may be among them.

    Raises:
        BackendError: if a score is NaN; a NaN target would otherwise rank first.
    """
    check_scores(scores)
    batch = len(targets)
    target_scores = scores[np.arange(batch), targets]
    better = np.count_nonzero(scores > target_scores[:, None], axis=1)
    equal = np.count_nonzero(scores == target_scores[:, None], axis=1)
    rows = known.rows()
    others = known.ids != targets[rows]
    rows, filtered = rows[others], scores[rows[others], known.ids[others]]
    better = better - np.bincount(rows, filtered > target_scores[rows], batch)
    equal = equal - 1 - np.bincount(rows, filtered == target_scores[rows], batch)
    return Ranks(1.0 + better + equal // 2, 1.0 + better + equal / 2)


def check_scores(scores: NDArray[np.float32]) -> None:
    """Refuse NaN. One pass: a maximum is NaN if any element is."""
    if scores.size and np.isnan(scores.max(axis=1)).any():
        raise BackendError(
            "a score is NaN: a weight, a table row or a half-precision product went out of range. "
            "Export again with precision fp32, and check the model with `mmkg-sdk verify`."
        )


def _best(scores: NDArray[np.float32], k: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(rows, columns) of the k best scores of each row, in the order of the columns; of equal ones the first.

    -inf is left out.
    """
    if k >= scores.shape[1]:
        rows, columns = np.nonzero(scores > -np.inf)
        return rows, columns
    kth = np.partition(scores, scores.shape[1] - k, axis=1)[:, scores.shape[1] - k]
    rows, columns = np.nonzero((scores >= kth[:, None]) & (scores > -np.inf))
    # Many candidates may tie with the k-th: those above it stay, and as many of the others as there is room for.
    tied = scores[rows, columns] == kth[rows]
    room = k - np.bincount(rows[~tied], minlength=len(scores))
    seen = np.cumsum(tied)
    before = np.append(0, seen)[np.searchsorted(rows, np.arange(len(scores)))]
    kept = ~tied | (seen - before[rows] <= room[rows])
    return rows[kept], columns[kept]
