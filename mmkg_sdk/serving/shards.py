"""Shards: rows of a table, each asked in ids of its own rows; and how those of one process are asked at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..answering.entity_linking import Linker, mean_of_units
from ..backends import open_backend
from ..backends.segments import Call
from ..backends.tables import HostRanking, host_ranking
from ..bundle import Bundle
from ..bundle.parts import FRONT, Part
from ..errors import BackendError, BundleError
from ..families import contract
from ..ranking.exact import RankingProtocol, TopK, check_scores, filtered_counts
from ..ranking.known_triples import AnswerLists
from ..registry import ENTITY_LINKING

Pieces = Mapping[str, NDArray[np.float32]]


class Shards(Protocol):
    """All shards of a bundle, wherever they are."""

    @property
    def starts(self) -> tuple[int, ...]:
        """The first row of every shard, and the end of the last one."""
        ...

    def ask(self, calls: Sequence[Call]) -> list[Any]:
        """What they answer, in the order of the calls; they work at the same time."""
        ...

    def close(self) -> None:
        """Let go of them."""
        ...


# From a front to its shards.
FindShards = Callable[[Bundle], Shards]


class TableShard:
    """Rows of a link prediction table. Safe to call from several threads.

    Args:
        bundle: the shard, opened as a part.
        threads: of a call; None takes `mmkg_sdk.kernels.default_threads()`.
    """

    def __init__(self, bundle: Bundle, threads: int | None) -> None:
        self.bundle, self.part = bundle, part_of(bundle)
        self._score = contract.link_config(bundle.config).candidate_score
        self._ranking: HostRanking = host_ranking(bundle.encoded["vectors"], self._score, threads=threads)
        if not self._ranking.reads_table:
            bundle.release()  # it was read to be copied

    def top_k(
        self,
        queries: NDArray[np.float32],
        k: int,
        excluded: AnswerLists | None,
        candidates: NDArray[np.int64] | None,
    ) -> TopK:
        """See TableRanking."""
        return self._ranking.top_k(queries, k, excluded, candidates)

    def pairs(self, queries: NDArray[np.float32], ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """See HostRanking."""
        return self._ranking.pairs(queries, ids)

    def counts(
        self,
        queries: NDArray[np.float32],
        targets: NDArray[np.int64],
        target_scores: NDArray[np.float32],
        known: AnswerLists,
        protocol: RankingProtocol,
    ) -> NDArray[np.int64]:
        """See HostRanking."""
        return self._ranking.counts(queries, targets, target_scores, known, protocol)

    def rows(self, name: str, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """What the encoder gave for some entities, float32 [n, ...], a copy."""
        found: NDArray[np.float32] = self.bundle.encoded[name][ids]
        return found

    def scores(self, queries: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 [batch, rows]: every query with every row."""
        found = self._score(queries, self.bundle.encoded["vectors"])
        check_scores(found)
        return found

    def close(self) -> None:
        """Nothing is left to free."""


class PiecesShard:
    """Rows of an entity linking table. Safe to call from several threads.

    Args:
        linker: of the shard, which has the pieces of its rows and what scores them, and no encoder of mentions.
    """

    def __init__(self, linker: Linker) -> None:
        self._linker, self.part = linker, part_of(linker.bundle)

    def scores(self, pieces: Pieces, candidates: NDArray[np.int64] | None) -> NDArray[np.float32]:
        """See InteractionStandIn."""
        return np.stack(list(self._linker.score_pieces(pieces, candidates).values()))

    def best(
        self, pieces: Pieces, k: int, candidates: NDArray[np.int64] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """See InteractionStandIn."""
        units = self.scores(pieces, candidates)
        places = np.unique(np.argsort(-mean_of_units(units), axis=1, kind="stable")[:, :k])
        return places if candidates is None else candidates[places], units[:, :, places]

    def target_scores(self, pieces: Pieces, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """The score of mention i and row ids[i], float32 [mentions]."""
        if not self._linker.has_stand_ins:  # a graph may round a pair otherwise where others are scored with it
            return mean_of_units(self.scores(pieces, None))[np.arange(len(ids)), ids]
        asked, places = np.unique(ids, return_inverse=True)
        return mean_of_units(self.scores(pieces, asked))[np.arange(len(ids)), places]

    def counts(
        self, pieces: Pieces, targets: NDArray[np.int64], target_scores: NDArray[np.float32]
    ) -> NDArray[np.int64]:
        """What these rows add to the counts of the whole table; see `ranking.exact.filtered_counts`."""
        nothing = AnswerLists(np.zeros(len(targets) + 1, np.int64), np.empty(0, np.int64))
        scores = mean_of_units(self.scores(pieces, None))
        return filtered_counts(scores, targets, target_scores, nothing, RankingProtocol("stable"))

    def close(self) -> None:
        """Free the backend."""
        self._linker.close()


def open_shard(
    path: str | Path,
    number: int,
    *,
    backend: str = "auto",
    threads: int | None = None,
    follow_links: bool = False,
    hash_always: bool = False,
) -> TableShard | PiecesShard:
    """One shard of a sharded bundle, verified; its folder alone is read. It works on the CPU.

    Args:
        path: what `mmkg-sdk bundle shard` wrote, or a folder with this shard of it.
        backend, threads, follow_links, hash_always: see `mmkg_sdk.load`.

    Raises:
        BundleError: the shard is missing, changed, or another one.
    """
    folder = Path(path).expanduser() / f"shard-{number}"
    bundle = Bundle.open(folder, follow_links=follow_links, hash_always=hash_always, part=True)
    if part_of(bundle).number != number:
        raise BundleError(f"{folder} holds {part_of(bundle).folder}. Copy the folders again, each under its own name.")
    if bundle.config.task == ENTITY_LINKING:
        opened = open_backend(bundle, backend, "cpu", threads)
        return PiecesShard(Linker(bundle, opened, compiled=backend == "auto"))
    return TableShard(bundle, threads)


def open_front(path: str | Path, *, follow_links: bool = False, hash_always: bool = False) -> Bundle:
    """The front of a sharded bundle, verified.

    Raises:
        BundleError: it is missing, changed, or no front.
    """
    folder = Path(path).expanduser()
    bundle = Bundle.open(folder / FRONT, follow_links=follow_links, hash_always=hash_always, part=True)
    if part_of(bundle).number is not None:
        raise BundleError(f"{bundle.path} holds {part_of(bundle).folder}. Copy the folders again.")
    return bundle


def part_of(bundle: Bundle) -> Part:
    """What an opened part says that it is."""
    assert bundle.part is not None  # Bundle.open looked
    return bundle.part


def check_one_cut(front: Bundle, shards: Sequence[Part]) -> None:
    """Whether the shards were cut of the bundle that the front was cut of, in the same way.

    Raises:
        BundleError: one was not.
    """
    expected = part_of(front)
    for part in shards:
        if (part.bundle, part.starts) != (expected.bundle, expected.starts):
            raise BundleError(
                f"{front.path.parent}: {part.folder} was cut of another bundle than the front, or in another way. "
                "Cut the bundle again, and copy all folders of one cut."
            )


class LocalShards:
    """All shards in this process, a thread each. Safe to call from several threads.

    Args:
        shards: in their order.
        starts: see Shards.
    """

    def __init__(self, shards: Sequence[TableShard | PiecesShard], starts: tuple[int, ...]) -> None:
        self._shards, self._starts = shards, starts
        self._threads = ThreadPoolExecutor(len(shards), thread_name_prefix="shard")

    @classmethod
    def of(
        cls, front: Bundle, backend: str, *, threads: int | None, follow_links: bool, hash_always: bool
    ) -> LocalShards:
        """All shards beside a front; see `open_shard`."""
        starts = part_of(front).starts
        shards = [
            open_shard(
                front.path.parent,
                number,
                backend=backend,
                threads=threads,
                follow_links=follow_links,
                hash_always=hash_always,
            )
            for number in range(len(starts) - 1)
        ]
        check_one_cut(front, [shard.part for shard in shards])
        return cls(shards, starts)

    @property
    def starts(self) -> tuple[int, ...]:
        """See Shards."""
        return self._starts

    def ask(self, calls: Sequence[Call]) -> list[Any]:
        """See Shards."""
        try:
            waiting = [self._threads.submit(getattr(self._shards[n], asked), *given) for n, asked, given in calls]
        except RuntimeError as err:  # the threads have ended
            raise BackendError("the shards are closed. Open the sharded bundle again.") from err
        return [call.result() for call in waiting]

    def close(self) -> None:
        """See Shards."""
        self._threads.shutdown()
        for shard in self._shards:
            shard.close()
