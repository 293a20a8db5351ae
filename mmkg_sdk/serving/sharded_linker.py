"""ShardedLinker: a Linker whose entities are in shards. Mentions are encoded here, once; shards score their rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..answering.answers.link_explanation import LinkExplanation
from ..answering.entity_linking import Linker, Mention
from ..answering.ids import Names
from ..backends.segments import Call
from ..errors import QueryError
from ..families.runtimes import InteractionStandIn
from ..ranking.exact import RankingProtocol, ranks_of_counts
from .on_shards import OnShards
from .shards import Pieces, Shards


class ShardedInteraction:
    """See InteractionStandIn: shards score mentions with their rows, and what they give is put together."""

    def __init__(self, shards: Shards, units: int) -> None:
        self._shards, self._units = shards, units

    def of(self, entities: Mapping[str, NDArray[Any]]) -> InteractionStandIn:
        """Never asked for: ShardedLinker refuses new entities before."""
        raise AssertionError("a sharded bundle takes no new entities")

    def scores(self, mentions: Pieces, candidates: NDArray[np.int64] | None) -> NDArray[np.float32]:
        """See InteractionStandIn."""
        calls = [(number, "scores", (mentions, rows)) for number, rows in self._cut(candidates)]
        none = np.empty((self._units, len(next(iter(mentions.values()))), 0), np.float32)
        return np.concatenate(self._shards.ask(calls), axis=2) if calls else none

    def best(
        self, mentions: Pieces, k: int, candidates: NDArray[np.int64] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """See InteractionStandIn: the k best of every shard."""
        calls: list[Call] = [(number, "best", (mentions, k, rows)) for number, rows in self._cut(candidates)]
        found = self._shards.ask(calls)
        ids = [part + self._shards.starts[call[0]] for call, (part, _) in zip(calls, found, strict=True)]
        return np.concatenate(ids), np.concatenate([scores for _, scores in found], axis=2)

    def ranks(self, mentions: Pieces, targets: NDArray[np.int64]) -> NDArray[np.int64]:
        """See InteractionStandIn: counts of the shards add up."""
        starts, scores = self._shards.starts, np.empty(len(targets), np.float32)
        parts = list(enumerate(pairwise(starts)))
        inside = {number: (targets >= start) & (targets < stop) for number, (start, stop) in parts}
        # All mentions, for a graph: of others a pair may be rounded otherwise.
        calls: list[Call] = [
            (number, "target_scores", (mentions, np.clip(targets, start, stop - 1) - start))
            for number, (start, stop) in parts
            if inside[number].any()
        ]
        for (number, *_), found in zip(calls, self._shards.ask(calls), strict=True):
            scores[inside[number]] = found[inside[number]]
        counts = self._shards.ask([(n, "counts", (mentions, targets - start, scores)) for n, (start, _) in parts])
        return ranks_of_counts(np.add.reduce(counts), RankingProtocol("stable")).published.astype(np.int64)

    def _cut(self, candidates: NDArray[np.int64] | None) -> list[tuple[int, NDArray[np.int64] | None]]:
        """The shards that have candidates, and which of their rows; None: all."""
        if candidates is None:
            return [(number, None) for number in range(len(self._shards.starts) - 1)]
        cuts = candidates.searchsorted(self._shards.starts)
        parts = enumerate(pairwise(cuts))
        return [(n, candidates[first:end] - self._shards.starts[n]) for n, (first, end) in parts if first < end]


class ShardedLinker(OnShards, Linker):
    """A sharded entity linking bundle. It answers as the Linker of the whole bundle does, to the bit where compiled
    kernels score (docs/sharding.md). Safe to call from several threads.

    Use `ShardedLinker.load`, or `mmkg_sdk.serving.load_sharded`.
    """

    def _open_stand_in(self) -> InteractionStandIn:
        return ShardedInteraction(self._shards, len(self._runtime.UNITS))

    @property
    def _ranks_there(self) -> bool:
        return True

    def explain_link(self, mention: Mention, entity: str | int) -> LinkExplanation:
        """Refused: what is known of an entity is in its shard.

        Raises:
            QueryError: always.
        """
        raise QueryError(f"{self.bundle.path.parent} is sharded and explains no links. Ask the whole bundle.")

    def add_entities(
        self,
        labels: str | Sequence[str],
        *,
        texts: Sequence[str | None] | None = None,
        images: Sequence[Any] | None = None,
        names: Sequence[str] | None = None,
    ) -> NDArray[np.int64]:
        """Refused: a sharded bundle has no encoder of entities. Raises QueryError."""
        raise self._is_fixed()

    def remove_entities(self, entities: Names) -> None:
        """Refused, too. Raises QueryError."""
        raise self._is_fixed()

    def _is_fixed(self) -> QueryError:
        return QueryError(
            f"{self.bundle.path.parent} is sharded, and its entities stay. Add and remove them in the whole bundle."
        )
