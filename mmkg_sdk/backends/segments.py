"""A table in segments: each is ranked on its own, and the answers are merged to those of one table of all rows.

So a table grows without being copied: what is added is a segment behind it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BackendError
from ..ranking.exact import RankingProtocol, Ranks, TopK, best_of, ranks_of_counts
from ..ranking.known_triples import AnswerLists
from .base import AnyArray
from .tables import HostRanking

# Rows from which a segment is no longer made anew when rows are added: 1 ms to make at 256 numbers a row.
_FULL = 4096


# The number of a segment, what it is asked, and the arguments.
Call = tuple[int, str, tuple[Any, ...]]


class PartedRanking(ABC):
    """See TableRanking, for the CPU. Scores, ties, exclusions, candidates and ranks are those of one table, to the bit
    where the segments' scores are (kernels/scan.py).

    A segment is what HostRanking is, in ids of its own rows; where it is, and how it is asked, is the subclass's.
    """

    @property
    @abstractmethod
    def starts(self) -> tuple[int, ...]:
        """The first row of each segment, and the end of the last one."""

    @abstractmethod
    def ask(self, calls: Sequence[Call]) -> list[Any]:
        """What the segments answer, in the order of the calls."""

    @property
    def on_device(self) -> bool:
        """See TableRanking."""
        return False

    def top_k(
        self,
        queries: AnyArray,
        k: int,
        excluded: AnswerLists | None = None,
        candidates: NDArray[np.int64] | None = None,
        stream: int | None = None,
    ) -> TopK:
        """See TableRanking."""
        calls: list[Call] = []
        for number, (start, stop) in enumerate(pairwise(self.starts)):
            rows = None
            if candidates is not None:
                first, end = candidates.searchsorted([start, stop])
                rows = candidates[first:end] - start if start else candidates[first:end]
            hidden = None if excluded is None else excluded.within(start, stop)
            if rows is None or len(rows):
                calls.append((number, "top_k", (queries, k, hidden, rows)))
        found = [
            TopK(part.offsets, part.ids + self.starts[number], part.scores)
            for (number, *_), part in zip(calls, self.ask(calls), strict=True)
        ]
        return _merged(found, queries.shape[0], k)

    def ranks(
        self,
        queries: AnyArray,
        targets: NDArray[np.int64],
        known: AnswerLists,
        protocol: RankingProtocol,
        stream: int | None = None,
    ) -> Ranks:
        """See TableRanking."""
        if len(targets) and not 0 <= targets.min() <= targets.max() < self.starts[-1]:
            raise BackendError(f"a target is out of range; expected rows 0 to {self.starts[-1] - 1} of the table.")
        parts = list(enumerate(pairwise(self.starts)))
        scores = np.empty(len(targets), np.float32)
        inside = {number: (targets >= start) & (targets < stop) for number, (start, stop) in parts}
        # Of all queries, for numpy; see NumpyRanking.pairs.
        calls: list[Call] = [
            (number, "pairs", (queries, np.clip(targets, start, stop - 1) - start))
            for number, (start, stop) in parts
            if inside[number].any()
        ]
        for (number, *_), found in zip(calls, self.ask(calls), strict=True):
            scores[inside[number]] = found[inside[number]]
        # A segment counts by the score of a target that it does not hold, too, and counts add up.
        counts = self.ask(
            [
                (number, "counts", (queries, targets - start, scores, known.within(start, stop), protocol))
                for number, (start, stop) in parts
            ]
        )
        return ranks_of_counts(np.add.reduce(counts), protocol)


class SegmentedRanking(PartedRanking):
    """Segments in this process, asked one after the other.

    Args:
        segments: what ranks the rows of each, one behind the other.
        starts: see PartedRanking.
    """

    def __init__(self, segments: tuple[HostRanking, ...], starts: tuple[int, ...]) -> None:
        self.segments, self._starts = segments, starts

    @property
    def starts(self) -> tuple[int, ...]:
        """See PartedRanking."""
        return self._starts

    @property
    def name(self) -> str:
        """See TableRanking."""
        return self.segments[0].name

    @property
    def reads_table(self) -> bool:
        """See TableRanking."""
        return any(segment.reads_table for segment in self.segments)

    def ask(self, calls: Sequence[Call]) -> list[Any]:
        """See PartedRanking."""
        return [getattr(self.segments[number], asked)(*arguments) for number, asked, arguments in calls]


def grown_ranking(
    before: HostRanking | SegmentedRanking,
    base: int,
    tail: NDArray[np.float32],
    make: Callable[[NDArray[np.float32]], HostRanking],
) -> SegmentedRanking:
    """What ranks a table with more rows than `before`; adding rows one by one takes constant time each, amortised.

    Args:
        before: what ranked the table until now.
        base: rows of the table that never changes.
        tail: all rows behind it, float32 [rows, width], those that `before` ranks included.
        make: what ranks rows.
    """
    if isinstance(before, SegmentedRanking):
        segments, starts, end = list(before.segments), list(before.starts[:-1]), before.starts[-1]
    else:
        segments, starts, end = [before], [0], base
    first = end
    count = base + len(tail)
    if len(segments) > 1 and end - starts[-1] < _FULL:
        first = _dropped(segments, starts)
    # Sizes fall at least by half from segment to segment, so there are few, and a row is in few that are made.
    while len(segments) > 1 and count - first >= _FULL and first - starts[-1] < 2 * (count - first):
        first = _dropped(segments, starts)
    segments.append(make(tail[first - base :]))
    return SegmentedRanking(tuple(segments), (*starts, first, count))


def _dropped(segments: list[HostRanking], starts: list[int]) -> int:
    """Where the last segment began, which is made anew with what is behind it."""
    segments.pop()
    return starts.pop()


def _merged(parts: list[TopK], batch: int, k: int) -> TopK:
    if len(parts) == 1:
        return parts[0]
    queries = [np.repeat(np.arange(batch), np.diff(part.offsets)) for part in parts]
    none: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
    scores = np.concatenate([np.empty(0, np.float32), *(part.scores for part in parts)])
    ids = np.concatenate([*none, *(part.ids for part in parts)])
    return best_of(np.concatenate([*none, *queries]), ids, scores, batch, k)
