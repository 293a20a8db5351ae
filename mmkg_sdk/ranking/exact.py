"""Exact ranking, in numpy: the k best candidates, and the rank of a known answer.

The plain statement of what the SDK answers; faster kernels are held against it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import BackendError
from .known_triples import AnswerLists
from .scores import CandidateScore

# Candidates scored at a time: bounds memory to queries x this x 4 bytes, whatever the size of the table.
CANDIDATE_BLOCK = 65_536


@dataclass(frozen=True)
class TopK:
    """Best candidates of a batch, flat: those of query i are ids[offsets[i]:offsets[i + 1]], best first."""

    offsets: NDArray[np.int64]
    ids: NDArray[np.int64]
    scores: NDArray[np.float32]


@dataclass(frozen=True)
class RankingProtocol:
    """How a family's published evaluation makes a rank of scores; `better` and `equal` count other candidates.

    Attributes:
        ties: "floor": 1 + better + floor(equal / 2). "optimistic": 1 + better. "stable": 1 + better + equal ones of a
            lower id, what a stable descending sort gives.
        known_answer_penalty: what is taken off the score of another known answer; infinity leaves it out.
    """

    ties: Literal["floor", "optimistic", "stable"]
    known_answer_penalty: float = math.inf


@dataclass(frozen=True)
class Ranks:
    """Filtered ranks of the right answers, float64 [batch].

    Attributes:
        published: by the family's RankingProtocol.
        realistic: 1 + better + equal / 2, the mean of the optimistic and the pessimistic rank
            (Berrendorf et al. 2020).
    """

    published: NDArray[np.float64]
    realistic: NDArray[np.float64]


def top_k(
    queries: NDArray[np.float32],
    table: NDArray[np.float32],
    k: int,
    excluded: AnswerLists | None,
    score: CandidateScore,
) -> TopK:
    """The k best rows of the table for each query, best first; equal scores by ascending row.

    Args:
        queries: float32 [batch, d].
        table: float32 [candidates, d].
        k: how many to keep; a query with fewer candidates that are not excluded gets those.
        excluded: rows that are no answer, per query.
        score: of queries and rows of the table.

    Raises:
        BackendError: if a score is NaN.
    """
    batch = len(queries)
    rows: NDArray[np.int64] = np.empty(0, np.int64)
    ids: NDArray[np.int64] = np.empty(0, np.int64)
    scores: NDArray[np.float32] = np.empty(0, np.float32)
    for start in range(0, len(table), CANDIDATE_BLOCK):
        block = score(queries, table[start : start + CANDIDATE_BLOCK])
        check_scores(block)
        if excluded is not None:
            inside = (excluded.ids >= start) & (excluded.ids < start + block.shape[1])
            block[excluded.rows()[inside], excluded.ids[inside] - start] = -np.inf
        found_rows, found_ids = _best(block, k)
        rows = np.concatenate([rows, found_rows])
        scores = np.concatenate([scores, block[found_rows, found_ids]])
        ids = np.concatenate([ids, found_ids + start])
    return best_of(rows, ids, scores, batch, k)


def best_of(
    queries: NDArray[np.int64], ids: NDArray[np.int64], scores: NDArray[np.float32], batch: int, k: int
) -> TopK:
    """The k best of the candidates that were found for each query, best first; equal scores by ascending id.

    Args:
        queries, ids, scores: one of each for every candidate found, in any order; queries are 0 to batch - 1.
    """
    order = np.lexsort((ids, -scores, queries))
    queries, ids, scores = queries[order], ids[order], scores[order]
    position = np.arange(len(queries)) - np.searchsorted(queries, queries)
    kept = position < k
    offsets = np.searchsorted(queries[kept], np.arange(batch + 1))
    return TopK(offsets, ids[kept], scores[kept])


def filtered_ranks(
    scores: NDArray[np.float32], targets: NDArray[np.int64], known: AnswerLists, protocol: RankingProtocol
) -> Ranks:
    """Where the right answer stands among the candidates that are not known answers themselves.

    Args:
        scores: float32 [batch, candidates].
        targets: int64 [batch], the right answer.
        known: all known answers of each query; the target may be among them.
        protocol: what counts as before the target.

    Raises:
        BackendError: if a score is NaN; a NaN target would otherwise rank first.
    """
    check_scores(scores)
    target_scores = scores[np.arange(len(targets)), targets]
    return ranks_of_counts(filtered_counts(scores, targets, target_scores, known, protocol), protocol)


def filtered_counts(
    scores: NDArray[np.float32],
    targets: NDArray[np.int64],
    target_scores: NDArray[np.float32],
    known: AnswerLists,
    protocol: RankingProtocol,
) -> NDArray[np.int64]:
    """Other candidates that score better, equal, and equal with a lower id, int64 [3, batch]; see `filtered_ranks`.

    Counts of several parts of a table, each with ids of its own, add up to those of the whole.

    Args:
        targets: int64 [batch]; below 0 in an earlier part, the number of candidates or more in a later one.
        target_scores: float32 [batch]; where the target is among the candidates, its score there.
        protocol: the last of the three is counted for the "stable" rule only.
    """
    batch, candidates = scores.shape
    goals = target_scores[:, None]
    better = np.count_nonzero(scores > goals, axis=1)
    equal = np.count_nonzero(scores == goals, axis=1) - ((targets >= 0) & (targets < candidates))
    lower = np.zeros(batch)
    if protocol.ties == "stable":
        lower += np.count_nonzero((scores == goals) & (np.arange(candidates) < targets[:, None]), axis=1)
    # Other known answers were counted with their own score; now they count with what the protocol leaves of it.
    rows = known.rows()
    others = known.ids != targets[rows]
    rows, ids = rows[others], known.ids[others]
    filtered = scores[rows, ids]
    left = filtered - scores.dtype.type(protocol.known_answer_penalty)
    for values, sign in ((filtered, -1), (left, 1)):
        ties = values == target_scores[rows]
        better = better + sign * np.bincount(rows, values > target_scores[rows], batch)
        equal = equal + sign * np.bincount(rows, ties, batch)
        if protocol.ties == "stable":
            lower += sign * np.bincount(rows, ties & (ids < targets[rows]), batch)
    return np.stack([better, equal, lower]).astype(np.int64)


def ranks_of_counts(counts: NDArray[np.int64], protocol: RankingProtocol) -> Ranks:
    """Ranks from how many other candidates score better, equal, and equal with a lower id, int64 [3, batch].

    The last of them counts for the "stable" rule only.
    """
    better, equal, equal_lower = counts
    published = 1.0 + better
    if protocol.ties == "floor":
        published += equal // 2
    elif protocol.ties == "stable":
        published += equal_lower
    return Ranks(published, 1.0 + better + equal / 2)


def nan_score() -> BackendError:
    """The error for a score that is NaN."""
    return BackendError(
        "a score is NaN: a weight, a table row or a half-precision product went out of range. "
        "Export again with precision fp32, and check the model with `mmkg-sdk verify`."
    )


def check_scores(scores: NDArray[np.float32]) -> None:
    """Refuse NaN. One pass: a maximum is NaN if any element is."""
    if scores.size and np.isnan(scores.max(axis=1)).any():
        raise nan_score()


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
