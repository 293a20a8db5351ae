"""Known triples: which answers of a query are known already, as sorted ids in one flat array."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# What a query asks for; the value is the `direction` input of the query graphs.
TAIL, HEAD = 0, 1


@dataclass(frozen=True)
class Queries:
    """A batch of questions as ids, int64 [batch] each: the known entity, the relation, and what is missing.

    `direction` is 0 where the tail is asked for (entity is the head) and 1 where the head is (entity is the tail).
    `pictured` is whose pictures go with each question, for families that look at them; None: the known entity's.
    """

    entity: NDArray[np.int64]
    relation: NDArray[np.int64]
    direction: NDArray[np.int64]
    pictured: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.entity)

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> Queries:
        pictured = None if self.pictured is None else self.pictured[rows]
        return Queries(self.entity[rows], self.relation[rows], self.direction[rows], pictured)

    def distinct(self) -> tuple[Queries, NDArray[np.int64]]:
        """Every question once, and where in that list each of these is, int64 [batch]."""
        columns = np.stack([self.entity, self.relation, self.direction, self.shown])
        order = np.lexsort(columns)
        ordered = columns[:, order]
        new = np.ones(len(order), dtype=bool)
        new[1:] = (ordered[:, 1:] != ordered[:, :-1]).any(axis=0)
        places = np.empty(len(order), np.int64)
        places[order] = np.cumsum(new) - 1
        return self[order[new]], places

    @classmethod
    def for_triples(cls, triples: NDArray[np.int64], direction: int, *, answer_pictured: bool = False) -> Queries:
        """The queries that ask for one side of given triples, int64 [n, 3].

        Args:
            answer_pictured: the pictures are those of the answer, which gives it away.
        """
        known, answer = (0, 2) if direction == TAIL else (2, 0)
        pictured = triples[:, answer] if answer_pictured else None
        return cls(triples[:, known], triples[:, 1], np.full(len(triples), direction, dtype=np.int64), pictured)

    @property
    def shown(self) -> NDArray[np.int64]:
        """Whose pictures go with each question, int64 [batch]."""
        return self.entity if self.pictured is None else self.pictured


@dataclass(frozen=True)
class AnswerLists:
    """Answers of a batch of queries: those of query i are ids[offsets[i]:offsets[i + 1]], ascending."""

    offsets: NDArray[np.int64]
    ids: NDArray[np.int64]

    def rows(self) -> NDArray[np.int64]:
        """The query that each id belongs to, int64 [len(ids)]."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))

    def part(self, start: int, stop: int) -> AnswerLists:
        """The answers of the queries from start up to stop."""
        offsets = self.offsets[start : stop + 1]
        return AnswerLists(offsets - offsets[0], self.ids[offsets[0] : offsets[-1]])


class KnownTriples:
    """An index from query to known answers, in both directions.

    Args:
        triples: int64 [n, 3] head, relation, tail; duplicates do no harm.
    """

    def __init__(self, triples: NDArray[np.int64]) -> None:
        head, relation, tail = triples.astype(np.int64).T
        keys = np.concatenate([_key(head, relation, TAIL), _key(tail, relation, HEAD)])
        answers = np.concatenate([tail, head])
        pairs = np.unique(np.stack([keys, answers], axis=1), axis=0) if len(keys) else np.empty((0, 2), np.int64)
        self._keys, starts = np.unique(pairs[:, 0], return_index=True)
        self._offsets = np.append(starts, len(pairs)).astype(np.int64)
        self._answers = np.ascontiguousarray(pairs[:, 1])

    def answers(self, queries: Queries) -> AnswerLists:
        """The known answers of each query."""
        keys = _key(queries.entity, queries.relation, queries.direction)
        found = np.searchsorted(self._keys, keys)
        hit = np.zeros(len(keys), dtype=bool)
        inside = found < len(self._keys)
        hit[inside] = self._keys[found[inside]] == keys[inside]
        starts = np.where(hit, self._offsets[np.minimum(found, len(self._keys))], 0)
        lengths = np.where(hit, self._offsets[np.minimum(found + 1, len(self._keys))] - starts, 0)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        positions = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
        return AnswerLists(offsets, self._answers[positions])


def _key(
    entity: NDArray[np.int64], relation: NDArray[np.int64], direction: NDArray[np.int64] | int
) -> NDArray[np.int64]:
    """One sortable number for a query: entities below 2^32, relations below 2^30."""
    return ((relation * 2 + direction) << 32) + entity
