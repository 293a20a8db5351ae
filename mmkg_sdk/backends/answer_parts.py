"""Answers that came in parts: the best, then the best of those that are left; some queries', then those of others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..ranking.exact import TopK
from ..ranking.known_triples import AnswerLists


def merged_lists(excluded: AnswerLists | None, found: TopK) -> AnswerLists:
    """What is no answer any more: that which was excluded, and what was found, ascending for each query."""
    answers = AnswerLists(found.offsets, found.ids)
    if excluded is None:
        rows, ids = answers.rows(), answers.ids
    else:
        rows, ids = np.concatenate([excluded.rows(), answers.rows()]), np.concatenate([excluded.ids, answers.ids])
    return AnswerLists(_offsets(rows, len(found.offsets) - 1), ids[np.lexsort((ids, rows))])


def appended(best: TopK, next_best: TopK) -> TopK:
    """The answers of each query, those of the second part behind those of the first."""
    rows = np.concatenate([AnswerLists(part.offsets, part.ids).rows() for part in (best, next_best)])
    order = np.argsort(rows, kind="stable")
    ids, scores = np.concatenate([best.ids, next_best.ids]), np.concatenate([best.scores, next_best.scores])
    return TopK(_offsets(rows, len(best.offsets) - 1), ids[order], scores[order])


def chosen(lists: AnswerLists, queries: NDArray[np.int64]) -> AnswerLists:
    """The lists of some of the queries, which ascend."""
    lengths = np.diff(lists.offsets)[queries]
    return AnswerLists(np.concatenate([[0], lengths.cumsum()]), lists.ids[np.isin(lists.rows(), queries)])


def spread(found: TopK, queries: NDArray[np.int64], batch: int) -> TopK:
    """The answers of some of `batch` queries, which ascend, as those of all: the others have none."""
    return TopK(_offsets(queries[AnswerLists(found.offsets, found.ids).rows()], batch), found.ids, found.scores)


def _offsets(rows: NDArray[np.int64], batch: int) -> NDArray[np.int64]:
    offsets = np.zeros(batch + 1, np.int64)
    np.bincount(rows, minlength=batch).cumsum(out=offsets[1:])
    return offsets
