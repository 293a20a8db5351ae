"""The entities of a link prediction bundle as they are asked for, with what ranks them; and lists of answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..backends import Backend
from ..backends.base import parse_device
from ..backends.tables import GpuRanking, TableRanking, rank_table
from ..files.labels import Labels
from ..kernels.gpu.arguments import TableOnGpu
from ..ranking.exact import TopK
from ..ranking.known_triples import AnswerLists
from ..ranking.scores import CandidateScore

# Entities per run of an encoder, by the tokens that they have together. On a processor what it holds per token is best
# kept within the L2 cache (1 MiB): of 512 to 8,192 tokens at d = 256, 2,048 is within 3 % of the best for either MyGO
# encoder from 8 to 128 tokens an entity and within 7 % at 512; 4,096 loses up to 7 %. A GPU would spend most of a run
# of so few on launching it. Its number is an estimate that no GPU has seen: 0.6 GB between the layers at d = 256.
ENTITY_CHUNK_TOKENS = {"cpu": 2048, "cuda": 1 << 16}
_MOST_ENTITIES = 4096  # that the graphs' signatures name


def entity_chunk(token_count: int, device: str) -> int:
    """Entities of so many tokens that go into one run of an encoder graph on a device."""
    return min(_MOST_ENTITIES, max(1, ENTITY_CHUNK_TOKENS[parse_device(device)[0]] // token_count))


@dataclass(frozen=True)
class EntityTable:
    """Labels, what the encoder gave for each, and what ranks them, which grow together and are replaced as one."""

    labels: Labels
    encoded: dict[str, NDArray[np.float32]]
    ranking: TableRanking

    @classmethod
    def of(
        cls, labels: Labels, encoded: dict[str, NDArray[np.float32]], score: CandidateScore, backend: Backend
    ) -> EntityTable:
        """Choose what ranks them: on the backend's device where it can."""
        ranking = rank_table(encoded["vectors"], score, device=backend.device, threads=backend.threads)
        return cls(labels, encoded, ranking)

    @property
    def table(self) -> NDArray[np.float32]:
        """float32 [entities, width], on the host."""
        return self.encoded["vectors"]

    @property
    def on_gpu(self) -> TableOnGpu | None:
        """The table where a GPU ranks it; None if the CPU does."""
        return self.ranking.table if isinstance(self.ranking, GpuRanking) else None


def candidates_left(
    count: int, batch: int, excluded: AnswerLists | None, candidates: NDArray[np.int64] | None
) -> NDArray[np.int64]:
    """How many of `count` candidates each of the queries has that are not excluded, int64 [batch]."""
    if excluded is None:
        return np.full(batch, count)
    hidden = excluded if candidates is None else excluded.among(candidates)
    left: NDArray[np.int64] = count - np.diff(hidden.offsets)
    return left


def no_answers(batch: int) -> TopK:
    """Of so many queries."""
    return TopK(np.zeros(batch + 1, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))


def joined(parts: Sequence[TopK]) -> TopK:
    """The answers of consecutive chunks of queries as one."""
    if len(parts) < 2:
        return parts[0] if parts else no_answers(0)
    starts = np.cumsum([0, *(len(part.ids) for part in parts)])
    offsets = [part.offsets[:-1] + start for part, start in zip(parts, starts, strict=False)]
    return TopK(
        np.concatenate([*offsets, starts[-1:]]),
        np.concatenate([part.ids for part in parts]),
        np.concatenate([part.scores for part in parts]),
    )
