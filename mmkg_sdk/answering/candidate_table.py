"""The candidates of an entity linking bundle as mentions are scored with them: they come and go while it is open."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backends import DeviceArray
from ..families.runtimes import InteractionStandIn
from ..files.labels import Labels
from .added_rows import AddedRows
from .placed_pieces import PlacedPieces

Pieces = Mapping[str, NDArray[Any]]
Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Segment:
    """Rows that lie one behind the other.

    Attributes:
        pieces: what the entity side gave, by name, a row each; nothing where the rows are in shards.
        stand_in: what scores mentions with these rows in place of the interaction graph; None: the graph does.
        placed: the pieces on the backend's device, for the graph.
    """

    pieces: Pieces
    stand_in: InteractionStandIn | None
    placed: PlacedPieces

    def of(self, pieces: Pieces) -> Segment:
        """Other rows that are scored likewise."""
        stand_in = None if self.stand_in is None else self.stand_in.of(pieces)
        return Segment(pieces, stand_in, self.placed.of(pieces))


@dataclass(frozen=True)
class CandidateTable:
    """Labels and pieces of all candidates, and what scores them, which are replaced as one. Ids are places of labels.

    Rows are the bundle's own and, behind them, those that were added. A row that was removed stays where it is and has
    no id.

    Attributes:
        base: so many rows are the bundle's own.
        segments: of the bundle's own rows and, if there are any, of those added.
        removed: rows without an id, ascending.
        added: where the rows of the second segment lie.
    """

    labels: Labels
    base: int
    segments: tuple[Segment, ...]
    removed: Ids = field(default_factory=lambda: np.empty(0, np.int64))
    added: AddedRows = field(default_factory=AddedRows, repr=False)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def count(self) -> int:
        """Of all rows, those that were removed included."""
        return len(self.labels) + len(self.removed)

    @property
    def stand_in(self) -> InteractionStandIn | None:
        """Of the bundle's own rows."""
        return self.segments[0].stand_in

    @property
    def is_the_bundles(self) -> bool:
        """Whether nothing came or went."""
        return len(self.segments) == 1 and not len(self.removed)

    @cached_property
    def left(self) -> Ids | None:
        """The rows of all candidates, ascending; None: all rows."""
        return np.delete(np.arange(self.count), self.removed) if len(self.removed) else None

    def rows(self, ids: Ids | None) -> Ids | None:
        """The rows of some candidates; of all, and None, as of `left`."""
        if ids is None or not len(self.removed):
            return self.left if ids is None else ids
        # The number of removed rows before each id, which is the same for all ids between two of them.
        found: Ids = ids + np.searchsorted(self.removed - np.arange(len(self.removed)), ids, side="right")
        return found

    def pieces_of(self, candidate: int) -> dict[str, NDArray[Any]]:
        """What the entity side gave of one, by its id."""
        ((_, segment, rows),) = self._cut(self.rows(np.array([candidate])))
        return {name: array[rows][0] for name, array in segment.pieces.items()}

    def scores(self, mentions: Mapping[str, NDArray[np.float32]], ids: Ids | None) -> NDArray[np.float32]:
        """See InteractionStandIn; only where the segments have one."""
        parts = [_scorer(segment).scores(mentions, rows) for _, segment, rows in self._cut(self.rows(ids))]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)

    def best(
        self, mentions: Mapping[str, NDArray[np.float32]], k: int, ids: Ids | None
    ) -> tuple[Ids, NDArray[np.float32]] | None:
        """See InteractionStandIn: the best of every segment."""
        chosen, scores = [], []
        for start, segment, rows in self._cut(self.rows(ids)):
            count = len(next(iter(segment.pieces.values()), ())) if rows is None else len(rows)
            found = _scorer(segment).best(mentions, min(k, count) if segment.pieces else k, rows)
            if found is None:
                return None
            chosen.append(found[0] + start)
            scores.append(found[1])
        places = np.concatenate(chosen)
        return places - np.searchsorted(self.removed, places), np.concatenate(scores, axis=2)

    def ranks(self, mentions: Mapping[str, NDArray[np.float32]], targets: Ids) -> Ids | None:
        """See InteractionStandIn; None also where entities came or went: scores come to the host then."""
        return _scorer(self.segments[0]).ranks(mentions, targets) if self.is_the_bundles else None

    def blocks(self, ids: Ids | None, size: int) -> Iterator[Pieces]:
        """The pieces of candidates, so many at a time."""
        for _, segment, rows in self._cut(self.rows(ids)):
            count = len(next(iter(segment.pieces.values()), ())) if rows is None else len(rows)
            for start in range(0, count, size):
                part: Any = slice(start, start + size) if rows is None else rows[start : start + size]
                yield {name: array[part] for name, array in segment.pieces.items()}

    def placed_blocks(self) -> Iterator[Mapping[str, DeviceArray]]:
        """The pieces of all rows, on the device."""
        for segment in self.segments:
            yield from segment.placed.blocks()

    def runs(self, name: str) -> list[NDArray[Any]]:
        """One of the pieces of all candidates, in their order, in parts that lie where they are."""
        parts = []
        for start, segment, _ in self._cut(None):
            array = segment.pieces[name]
            gone = self.removed[(self.removed >= start) & (self.removed < start + len(array))] - start
            bounds = np.stack([np.append(0, gone + 1), np.append(gone, len(array))], axis=1)
            parts += [array[first:end] for first, end in bounds.tolist() if first < end]
        return parts

    def grown(self, names: Sequence[str], blocks: Iterable[Pieces]) -> CandidateTable:
        """With more candidates behind these; one thread at a time, and only the newest table grows.

        Args:
            blocks: their pieces, some entities at a time.

        Raises:
            DataError: a name that is none, or taken.
        """
        if not names:
            return self
        labels = self.labels.extended(names)
        held = self.count - self.base
        tail = self.added.append(held, held + len(names), blocks)
        own = self.segments[0]
        return replace(self, labels=labels, segments=(own, own.of(tail)))

    def without(self, ids: Ids) -> CandidateTable:
        """Without some candidates; those behind them move up.

        Args:
            ids: ascending, each once.
        """
        gone = self.rows(ids)
        if gone is None or not len(gone):
            return self
        kept = np.ones(len(self), bool)
        kept[ids] = False
        names = (name for name, keep in zip(self.labels, kept.tolist(), strict=True) if keep)
        labels = Labels(names, kind=self.labels.kind)
        return replace(self, labels=labels, removed=np.union1d(self.removed, gone))._packed()

    def _packed(self) -> CandidateTable:
        """The same; where most of what was added was removed again, in memory of what is left of it."""
        held = self.count - self.base
        gone = self.removed[self.removed >= self.base] - self.base
        if 2 * len(gone) <= held or not held:
            return self
        own, added = self.segments[0], AddedRows()
        left = np.delete(np.arange(held), gone)
        segments: tuple[Segment, ...] = (own,)
        if len(left):
            rows = {name: array[left] for name, array in self.segments[1].pieces.items()}
            segments = (own, own.of(added.append(0, len(left), [rows])))
        return replace(self, segments=segments, removed=self.removed[self.removed < self.base], added=added)

    def changes(self) -> tuple[Ids, tuple[str, ...], Pieces]:
        """What makes this of the bundle's own: the rows of it that went, and labels and pieces of what came."""
        own = int((self.removed < self.base).sum())
        came = range(self.base - own, len(self))
        rows = np.delete(np.arange(self.count - self.base), self.removed[own:] - self.base)
        pieces = {name: array[rows] for name, array in self.segments[-1].pieces.items()} if len(came) else {}
        return self.removed[:own], tuple(self.labels[came.start :]), pieces

    def closed(self) -> CandidateTable:
        """Labels and pieces, with nothing on a device and nothing that scores them."""
        for segment in self.segments:
            segment.placed.free()
        return replace(self, segments=tuple(replace(segment, stand_in=None) for segment in self.segments))

    def _cut(self, rows: Ids | None) -> list[tuple[int, Segment, Ids | None]]:
        """The first row of each segment that has some of these, the segment, and which of its rows; None: all."""
        starts = (0, self.base)[: len(self.segments)]
        if rows is None or len(self.segments) == 1:
            return [(start, segment, rows) for start, segment in zip(starts, self.segments, strict=True)]
        cut = int(np.searchsorted(rows, self.base))
        parts = zip(starts, self.segments, (rows[:cut], rows[cut:] - self.base), strict=True)
        return [part for part in parts if len(part[2])] or [(0, self.segments[0], rows)]


def _scorer(segment: Segment) -> InteractionStandIn:
    assert segment.stand_in is not None  # who asks has looked
    return segment.stand_in
