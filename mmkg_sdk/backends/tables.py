"""What ranks the rows of an entity table: the compiled kernels, or numpy where they are absent. Chosen once a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..kernels import Scan
from ..kernels.scan import Storage
from ..ranking.exact import RankingProtocol, Ranks, TopK, filtered_ranks, top_k
from ..ranking.known_triples import AnswerLists
from ..ranking.scores import CandidateScore

# Queries that numpy scores against the whole table at a time.
_NUMPY_BATCH = 512


class TableRanking(Protocol):
    """A table of candidates float32 [rows, width], and a score."""

    def top_k(
        self,
        queries: NDArray[np.float32],
        k: int,
        excluded: AnswerLists | None = None,
        candidates: NDArray[np.int64] | None = None,
    ) -> TopK:
        """The k best rows of the table for each query, best first; equal scores by ascending row.

        Args:
            queries: float32 [batch, width].
            k: how many to keep, at least 1; a query with fewer candidates that are not excluded gets those.
            excluded: rows that are no answer, per query.
            candidates: int64, ascending: rank only these rows; None = all.

        Raises:
            BackendError: if a score is NaN.
        """
        ...

    def ranks(
        self,
        queries: NDArray[np.float32],
        targets: NDArray[np.int64],
        known: AnswerLists,
        protocol: RankingProtocol,
    ) -> Ranks:
        """Where the right answer stands among the rows that are not known answers themselves.

        Args:
            queries: float32 [batch, width].
            targets: int64 [batch], the right answers.
            known: all known answers of each query; the target may be among them.
            protocol: what counts as before the target.

        Raises:
            BackendError: if a score is NaN.
        """
        ...


@dataclass(frozen=True)
class NumpyRanking:
    """See TableRanking."""

    table: NDArray[np.float32]
    score: CandidateScore

    def top_k(
        self,
        queries: NDArray[np.float32],
        k: int,
        excluded: AnswerLists | None = None,
        candidates: NDArray[np.int64] | None = None,
    ) -> TopK:
        """See TableRanking."""
        if candidates is None:
            return top_k(queries, self.table, k, excluded, self.score)
        rows = None if excluded is None else _places(excluded, candidates)
        found = top_k(queries, self.table[candidates], k, rows, self.score)
        return TopK(found.offsets, candidates[found.ids], found.scores)

    def ranks(
        self,
        queries: NDArray[np.float32],
        targets: NDArray[np.int64],
        known: AnswerLists,
        protocol: RankingProtocol,
    ) -> Ranks:
        """See TableRanking."""
        found = Ranks(np.empty(len(queries)), np.empty(len(queries)))
        for start in range(0, len(queries), _NUMPY_BATCH):
            rows = slice(start, min(start + _NUMPY_BATCH, len(queries)))
            answers = known.part(rows.start, rows.stop)
            part = filtered_ranks(self.score(queries[rows], self.table), targets[rows], answers, protocol)
            found.published[rows], found.realistic[rows] = part.published, part.realistic
        return found


# Kind of device -> the kernels that rank there.
_SCANS = {"cpu": Scan}


def rank_table(
    table: NDArray[np.float32],
    score: CandidateScore,
    *,
    device: str = "cpu",
    threads: int | None = None,
    storage: Storage = "auto",
) -> TableRanking:
    """What ranks this table fastest for a device; the table must not change afterwards.

    Args:
        table: float32 [rows, width], on the host.
        device: of the backend that makes the queries. A device without kernels of its own is
            ranked for on the CPU: its queries come to the host, which are small beside the table.
        threads: of a call; None takes `kernels.default_threads()`. numpy has its own setting.
        storage: see Scan; numpy reads the table itself. "auto" may keep a copy of a quarter or half of the table's size
            beside it.
    """
    scan = _SCANS.get(device.partition(":")[0], Scan)
    return scan(table, score, threads, storage=storage) if scan.supports(table, score) else NumpyRanking(table, score)


def _places(lists: AnswerLists, candidates: NDArray[np.int64]) -> AnswerLists:
    """Answers as places in a list of candidates; those that are none are dropped."""
    places = np.searchsorted(candidates, lists.ids)
    inside = places < len(candidates)
    inside[inside] = candidates[places[inside]] == lists.ids[inside]
    kept = np.concatenate([[0], np.cumsum(inside)])
    return AnswerLists(kept[lists.offsets], places[inside])
