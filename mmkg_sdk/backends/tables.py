"""What ranks the rows of an entity table, chosen once a table: on a GPU its kernels, where there are some for it;
else, and on the CPU, the compiled kernels, or numpy where they are absent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..kernels import Scan
from ..kernels.gpu import gpu_kernels_absence
from ..kernels.gpu.arguments import TableOnGpu
from ..kernels.gpu.scan import MAX_K, GpuScan
from ..kernels.scan import Storage
from ..ranking.exact import RankingProtocol, Ranks, TopK, check_scores, filtered_counts, ranks_of_counts, top_k
from ..ranking.known_triples import AnswerLists, Queries
from ..ranking.scores import CandidateScore
from .answer_parts import appended, merged_lists
from .base import AnyArray
from .captured import CapturedTopK, QueriesOnGpu

# Queries that numpy scores against the whole table at a time.
_NUMPY_BATCH = 512


class TableRanking(Protocol):
    """A table of candidates float32 [rows, width], and a score."""

    @property
    def name(self) -> str:
        """What ranks, and where, in words."""
        ...

    @property
    def on_device(self) -> bool:
        """Whether queries had better stay on the device; elsewhere they come to the host, with a wait for them."""
        ...

    @property
    def reads_table(self) -> bool:
        """Whether a query reads all of the table, and not of a copy of it."""
        ...

    def top_k(
        self,
        queries: AnyArray,
        k: int,
        excluded: AnswerLists | None = None,
        candidates: NDArray[np.int64] | None = None,
        stream: int | None = None,
    ) -> TopK:
        """The k best rows of the table for each query, best first; equal scores by ascending row.

        Args:
            queries: float32 [batch, width], on the host or on the device.
            k: how many to keep, at least 1; a query with fewer candidates that are not excluded gets those.
            excluded: rows that are no answer, per query.
            candidates: int64, ascending: rank only these rows; None = all.
            stream: the CUDA stream that queries on a device are ordered on (`Backend.stream`).

        Raises:
            BackendError: if a score is NaN.
        """
        ...

    def ranks(
        self,
        queries: AnyArray,
        targets: NDArray[np.int64],
        known: AnswerLists,
        protocol: RankingProtocol,
        stream: int | None = None,
    ) -> Ranks:
        """Where the right answer stands among the rows that are not known answers themselves.

        Args:
            queries: float32 [batch, width], on the host or on the device.
            targets: int64 [batch], the right answers.
            known: all known answers of each query; the target may be among them.
            protocol: what counts as before the target.
            stream: see `top_k`.

        Raises:
            BackendError: if a score is NaN.
        """
        ...


@dataclass(frozen=True)
class HostRanking:
    """See TableRanking: ranked on the CPU, wherever the queries are."""

    kernels: Scan | NumpyRanking

    @property
    def name(self) -> str:
        """See TableRanking."""
        if isinstance(self.kernels, Scan):
            return f"the CPU's kernels ({self.kernels.instruction_set})"
        return "numpy on the CPU"

    @property
    def on_device(self) -> bool:
        """See TableRanking."""
        return False

    @property
    def reads_table(self) -> bool:
        """See TableRanking."""
        return not isinstance(self.kernels, Scan) or self.kernels.storage == "float32"

    def top_k(
        self,
        queries: AnyArray,
        k: int,
        excluded: AnswerLists | None = None,
        candidates: NDArray[np.int64] | None = None,
        stream: int | None = None,
    ) -> TopK:
        """See TableRanking."""
        return self.kernels.top_k(_on_host(queries), k, excluded, candidates)

    def ranks(
        self,
        queries: AnyArray,
        targets: NDArray[np.int64],
        known: AnswerLists,
        protocol: RankingProtocol,
        stream: int | None = None,
    ) -> Ranks:
        """See TableRanking."""
        return self.kernels.ranks(_on_host(queries), targets, known, protocol)

    def pairs(self, queries: AnyArray, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """The scores of query i and row ids[i], float32 [batch], as `counts` compares them."""
        return self.kernels.pairs(_on_host(queries), ids)

    def counts(
        self,
        queries: AnyArray,
        targets: NDArray[np.int64],
        target_scores: NDArray[np.float32],
        known: AnswerLists,
        protocol: RankingProtocol,
    ) -> NDArray[np.int64]:
        """What this table, as a part of a larger one, adds to the counts of the whole; see Scan."""
        return self.kernels.counts(_on_host(queries), targets, target_scores, known, protocol)


class GpuRanking:
    """See TableRanking: ranked on the GPU that the table was copied to."""

    def __init__(self, kernels: GpuScan, device: str) -> None:
        self.kernels, self.device = kernels, device
        self._captured = CapturedTopK(kernels)

    @property
    def name(self) -> str:
        """See TableRanking."""
        return f"the CUDA kernels on {self.device}"

    @property
    def on_device(self) -> bool:
        """See TableRanking."""
        return True

    @property
    def reads_table(self) -> bool:
        """See TableRanking."""
        return False

    @property
    def table(self) -> TableOnGpu:
        """The table there, for what makes queries."""
        return self.kernels.table

    def captured_top_k(
        self, maker: QueriesOnGpu, queries: Queries, k: int, excluded: AnswerLists | None
    ) -> TopK | None:
        """From ids to ids as one CUDA graph; see CapturedTopK. None: make vectors, and ask `top_k`."""
        return self._captured.top_k(maker, queries, k, excluded)

    def top_k(
        self,
        queries: AnyArray,
        k: int,
        excluded: AnswerLists | None = None,
        candidates: NDArray[np.int64] | None = None,
        stream: int | None = None,
    ) -> TopK:
        """See TableRanking."""
        found = part = self.kernels.top_k(queries, min(k, MAX_K), excluded, candidates, stream)
        # More than the kernels give at a time: the best of those that are left, and so on.
        for start in range(MAX_K, k, MAX_K):
            excluded = merged_lists(excluded, part)
            part = self.kernels.top_k(queries, min(k - start, MAX_K), excluded, candidates, stream)
            found = appended(found, part)
        return found

    def ranks(
        self,
        queries: AnyArray,
        targets: NDArray[np.int64],
        known: AnswerLists,
        protocol: RankingProtocol,
        stream: int | None = None,
    ) -> Ranks:
        """See TableRanking."""
        return self.kernels.ranks(queries, targets, known, protocol, stream)


@dataclass(frozen=True)
class NumpyRanking:
    """What Scan does, in numpy."""

    table: NDArray[np.float32]
    score: CandidateScore

    def top_k(
        self,
        queries: NDArray[np.float32],
        k: int,
        excluded: AnswerLists | None = None,
        candidates: NDArray[np.int64] | None = None,
    ) -> TopK:
        """See TableRanking, of queries on the host."""
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
        """See TableRanking, of queries on the host."""
        return ranks_of_counts(self.counts(queries, targets, None, known, protocol), protocol)

    def pairs(self, queries: NDArray[np.float32], ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """See Scan. By the products that `counts` makes of as many queries: others are rounded otherwise."""
        found = [
            self.score(queries[rows], self.table)[np.arange(len(ids[rows])), ids[rows]] for rows in _parts(queries)
        ]
        return np.concatenate([np.empty(0, np.float32), *found])

    def counts(
        self,
        queries: NDArray[np.float32],
        targets: NDArray[np.int64],
        target_scores: NDArray[np.float32] | None,
        known: AnswerLists,
        protocol: RankingProtocol,
    ) -> NDArray[np.int64]:
        """See Scan."""
        found = [np.empty((3, 0), np.int64)]
        for rows in _parts(queries):
            scores, right = self.score(queries[rows], self.table), targets[rows]
            check_scores(scores)
            goals = scores[np.arange(len(right)), right] if target_scores is None else target_scores[rows]
            answers = known.part(rows.start, rows.stop)
            found.append(filtered_counts(scores, right, goals, answers, protocol))
        return np.concatenate(found, axis=1)


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
        table: float32 [rows, width], on the host; ranked on a GPU, it is copied there.
        device: of the backend that makes the queries. Where there are no CUDA kernels for a GPU, or none for the score,
            it is ranked for on the CPU, which `TableRanking.name` says: its queries come to the host, which are small
            beside the table.
        threads: of a call on the CPU; None takes `kernels.default_threads()`. numpy has its own setting.
        storage: see Scan; numpy and GPUs pass it over. "auto" may keep a copy of a quarter or half of the table's size
            beside it.

    Raises:
        BackendError: the table is larger than the GPU's free memory.
    """
    if device != "cpu" and GpuScan.supports(table, score) and not gpu_kernels_absence(device):
        return GpuRanking(GpuScan(table, score, device), device)
    return host_ranking(table, score, threads=threads, storage=storage)


def host_ranking(
    table: NDArray[np.float32], score: CandidateScore, *, threads: int | None = None, storage: Storage = "auto"
) -> HostRanking:
    """What ranks this table on the CPU; see `rank_table`."""
    if Scan.supports(table, score):
        return HostRanking(Scan(table, score, threads, storage=storage))
    return plain_ranking(table, score)


def plain_ranking(table: NDArray[np.float32], score: CandidateScore) -> HostRanking:
    """numpy's, which keeps nothing beside the table."""
    return HostRanking(NumpyRanking(table, score))


def pair_scores(
    queries: NDArray[np.float32], rows: NDArray[np.float32], score: CandidateScore, *, threads: int | None = None
) -> NDArray[np.float32]:
    """The score of query i and row i, float32 [batch]: to the bit what the compiled kernels give that row as an answer.

    Args:
        queries, rows: float32 [batch, width].
        threads: see `rank_table`.

    Raises:
        BackendError: a score is NaN.
    """
    if len(rows) and Scan.supports(rows, score):
        # A score is that of its pair alone, so these rows are a table as good as any; float32 is read in place.
        return Scan(rows, score, threads, storage="float32").pairs(queries, np.arange(len(rows)))
    return score.pairs(queries, rows)


def _parts(queries: NDArray[np.float32]) -> list[slice]:
    """Queries that numpy scores at a time."""
    return [slice(at, min(at + _NUMPY_BATCH, len(queries))) for at in range(0, len(queries), _NUMPY_BATCH)]


def _on_host(queries: AnyArray) -> NDArray[np.float32]:
    return queries if isinstance(queries, np.ndarray) else queries.numpy()


def _places(lists: AnswerLists, candidates: NDArray[np.int64]) -> AnswerLists:
    """Answers as places in a list of candidates; those that are none are dropped."""
    places = np.searchsorted(candidates, lists.ids)
    inside = places < len(candidates)
    inside[inside] = candidates[places[inside]] == lists.ids[inside]
    kept = np.concatenate([[0], np.cumsum(inside)])
    return AnswerLists(kept[lists.offsets], places[inside])
