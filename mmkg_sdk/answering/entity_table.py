"""The entities of a link prediction bundle as they are asked for, with what ranks them; and lists of answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backends import Backend
from ..backends.base import parse_device
from ..backends.segments import SegmentedRanking, grown_ranking
from ..backends.tables import GpuRanking, HostRanking, TableRanking, host_ranking, rank_table
from ..families.entity_batch import of_one_width
from ..files.labels import Labels
from ..kernels.gpu.arguments import TableOnGpu
from ..kernels.scan import Storage
from ..ranking.exact import TopK
from ..ranking.known_triples import AnswerLists, Queries
from ..ranking.scores import CandidateScore
from .added_rows import AddedRows

# Entities per run of an encoder, by the tokens that they have together. On a processor what it holds per token is best
# kept within the L2 cache (1 MiB): of 512 to 8,192 tokens at d = 256, 2,048 is within 3 % of the best for either MyGO
# encoder from 8 to 128 tokens an entity and within 7 % at 512; 4,096 loses up to 7 %. A GPU would spend most of a run
# of so few on launching it. Its number is an estimate that no GPU has seen: 0.6 GB between the layers at d = 256.
ENTITY_CHUNK_TOKENS = {"cpu": 2048, "cuda": 1 << 16}
_MOST_ENTITIES = 4096  # that the graphs' signatures name
# From so many on a segment has a packed copy, as the table of the bundle has.
_PACKED_ROWS = 1 << 16
# Of what entities were encoded from, that are put together.
_SMALL_PARTS = 256

# One row per entity.
Inputs = dict[str, NDArray[Any]]


def entity_chunk(token_count: int, device: str) -> int:
    """Entities of so many tokens that go into one run of an encoder graph on a device."""
    return min(_MOST_ENTITIES, max(1, ENTITY_CHUNK_TOKENS[parse_device(device)[0]] // token_count))


class AddedInputs:
    """What added entities were encoded from, in their order. Many small additions are put together."""

    def __init__(self) -> None:
        self._parts: list[Inputs] = []
        self._count = self._small = 0  # rows of all parts; the last so many parts were not put together yet

    def append(self, count: int, inputs: Inputs) -> None:
        """Put rows behind the first `count`; one thread at a time."""
        if count != self._count:
            self._parts, self._small = self.parts(count), 0
        self._parts.append(inputs)
        self._small += 1
        self._count = count + rows_of(inputs)
        if self._small == _SMALL_PARTS:
            last = self._parts[-_SMALL_PARTS:]
            if all(part.keys() == inputs.keys() for part in last):
                self._parts[-_SMALL_PARTS:] = [_stacked(last)]
            self._small = 0

    def parts(self, count: int) -> list[Inputs]:
        """The first `count` rows, in parts; those of entities whose structure is the mean have none."""
        found, start = [], 0
        for part in list(self._parts):
            rows = min(rows_of(part), count - start)
            if rows > 0:
                found.append({name: array[:rows] for name, array in part.items()})
            start += rows
        return found


def rows_of(inputs: Inputs) -> int:
    """Of how many entities."""
    return len(next(iter(inputs.values())))


def _stacked(parts: Sequence[Inputs]) -> Inputs:
    return {name: np.concatenate(of_one_width([part[name] for part in parts])) for name in parts[0]}


@dataclass(frozen=True)
class EntityTable:
    """Labels, what the encoder gave for each, and what ranks them, which grow together and are replaced as one.

    Attributes:
        encoded: what the encoder gave, one row per entity; for the bundle's own it is never copied.
        base: so many are the bundle's own; those that were added here lie behind.
        tail: rows behind those of `encoded`, of entities that were added; empty where there are none.
        added: where they lie.
        inputs: what the added entities were encoded from.
    """

    labels: Labels
    encoded: Mapping[str, NDArray[np.float32]]
    ranking: TableRanking
    base: int
    tail: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    added: AddedRows = field(default_factory=AddedRows, repr=False)
    inputs: AddedInputs = field(default_factory=AddedInputs, repr=False)

    @classmethod
    def of(
        cls, labels: Labels, encoded: Mapping[str, NDArray[np.float32]], score: CandidateScore, backend: Backend
    ) -> EntityTable:
        """Choose what ranks them: on the backend's device where it can."""
        ranking = rank_table(encoded["vectors"], score, device=backend.device, threads=backend.threads)
        return cls(labels, encoded, ranking, len(labels))

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def width(self) -> int:
        """Numbers of an encoded entity."""
        return int(self.encoded["vectors"].shape[1])

    @cached_property
    def table(self) -> NDArray[np.float32]:
        """float32 [entities, width], on the host; a copy if entities were added, made once."""
        return np.concatenate(self.parts) if self.tail else self.encoded["vectors"]

    @property
    def parts(self) -> list[NDArray[np.float32]]:
        """The table in pieces that lie where they are."""
        return self.parts_of("vectors")

    def parts_of(self, name: str) -> list[NDArray[np.float32]]:
        """What the encoder gave, in the same pieces."""
        return [rows[name] for rows in (self.encoded, self.tail) if rows]

    def rows(self, ids: NDArray[np.int64], name: str = "vectors") -> NDArray[np.float32]:
        """What the encoder gave for some entities, float32 [n, ...], a copy."""
        base = self.encoded[name]
        added = ids >= len(base)
        if not added.any():
            return base[ids]
        found = base[np.where(added, 0, ids)]
        found[added] = self.tail[name][ids[added] - len(base)]
        return found

    def input_of(self, row: int, name: str) -> NDArray[Any] | None:
        """What an entity that was added was encoded from; None for a structure that is the mean."""
        start = self.base
        for part in self.inputs.parts(len(self) - self.base):
            if row < start + rows_of(part):
                return part[name][row - start] if name in part else None
            start += rows_of(part)
        raise AssertionError(f"row {row} of {len(self)}")

    def asked(self, queries: Queries) -> tuple[NDArray[np.float32], Queries]:
        """A table that has the entities that are asked about, and the queries with their places in it."""
        if not self.tail or queries.entity.max(initial=0) < len(self.encoded["vectors"]):
            return self.encoded["vectors"], queries
        places = np.arange(len(queries))
        return self.rows(queries.entity), replace(queries, entity=places, pictured=queries.shown)

    def nearest(self, queries: Queries) -> tuple[NDArray[np.float32] | TableOnGpu, Queries]:
        """`asked`, for what stands in for the query graph: all of the table where a GPU ranks it, else on the host."""
        return (self.ranking.table, queries) if isinstance(self.ranking, GpuRanking) else self.asked(queries)

    def grown(
        self,
        names: Sequence[str],
        encoded: Iterable[Mapping[str, NDArray[np.float32]]],
        inputs: Sequence[Inputs],
        score: CandidateScore,
        backend: Backend,
    ) -> EntityTable:
        """This table with more entities; one thread at a time, and only the newest table grows.

        On the CPU nothing that was there is copied or packed again, but now and then what was added before. What ranks
        on a GPU is made anew of the whole.

        Args:
            encoded: what the encoder gave for them, in blocks one behind the other.
            inputs: what it was fed, in parts one behind the other.

        Raises:
            DataError: a name that is none, or taken.
        """
        if not names:
            return self
        labels = self.labels.extended(names)
        if not isinstance(self.ranking, HostRanking | SegmentedRanking):
            blocks = list(encoded)
            longer = {
                name: np.concatenate([array, *(block[name] for block in blocks)])
                for name, array in self.encoded.items()
            }
            table = replace(EntityTable.of(labels, longer, score, backend), base=self.base, inputs=self.inputs)
            self._append_inputs(inputs)
            return table
        base = self.base
        tail = self.added.append(len(self) - base, len(labels) - base, encoded)

        def make(rows: NDArray[np.float32]) -> HostRanking:
            # A few in float32, which is read in place: a packed copy takes twenty times as long to make. Many rows are
            # asked for longer than they are packed, and encoding them took longer still.
            storage: Storage = "float32" if len(rows) < _PACKED_ROWS else "auto"
            return host_ranking(rows, score, threads=backend.threads, storage=storage)

        ranking = grown_ranking(self.ranking, base, tail["vectors"], make)
        self._append_inputs(inputs)
        return EntityTable(labels, self.encoded, ranking, base, tail, self.added, self.inputs)

    def _append_inputs(self, inputs: Sequence[Inputs]) -> None:
        count = len(self) - self.base
        for part in inputs:
            self.inputs.append(count, part)
            count += rows_of(part)


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
