"""Known triples: which answers of a query are known already, as sorted ids in one flat array."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# What a query asks for; the value is the `direction` input of the query graphs.
TAIL, HEAD = 0, 1


@dataclass(frozen=True)
class Queries:
    """A batch of queries as ids, int64 [batch] each: the known entity, the relation, and what is missing.

    `direction` is 0 where the tail is asked for (entity is the head) and 1 where the head is (entity is the tail).
    `pictured` is whose images go with each query, for families that look at them; None: the known entity's.
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
        """Every query once, and where in that list each of these is, int64 [batch]."""
        columns = (self.entity, self.relation, self.direction, self.shown)
        order = np.lexsort(columns)
        new = _changes(*(column[order] for column in columns))
        places = np.empty(len(order), np.int64)
        places[order] = np.cumsum(new) - 1
        return self[order[new]], places

    @classmethod
    def for_triples(cls, triples: NDArray[np.int64], direction: int, *, answer_pictured: bool = False) -> Queries:
        """The queries that ask for one side of given triples, int64 [n, 3].

        Args:
            answer_pictured: the images are those of the answer, which gives it away.
        """
        known, answer = (0, 2) if direction == TAIL else (2, 0)
        pictured = triples[:, answer] if answer_pictured else None
        return cls(triples[:, known], triples[:, 1], np.full(len(triples), direction, dtype=np.int64), pictured)

    @property
    def shown(self) -> NDArray[np.int64]:
        """Whose images go with each query, int64 [batch]."""
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

    def among(self, candidates: NDArray[np.int64]) -> AnswerLists:
        """The answers that are among some candidates."""
        inside = np.isin(self.ids, candidates)
        kept = np.concatenate([[0], np.cumsum(inside)])
        return AnswerLists(kept[self.offsets], self.ids[inside])


class KnownTriples:
    """An index from query to known answers, in both directions.

    Args:
        triples: int64 [n, 3] head, relation, tail; duplicates do no harm.
    """

    def __init__(self, triples: NDArray[np.int64]) -> None:
        head, relation, tail = triples.astype(np.int64).T
        keys = np.concatenate([_key(head, relation, TAIL), _key(tail, relation, HEAD)])
        answers = np.concatenate([tail, head])
        order = np.lexsort((answers, keys))
        keys, answers = keys[order], answers[order]
        new = _changes(keys, answers)
        keys, answers = keys[new], answers[new]
        starts = np.flatnonzero(_changes(keys))
        # A last key that no query has: whatever is searched for, there is a key that is no smaller.
        self._keys = np.append(keys[starts], np.iinfo(np.int64).max)
        self._offsets = np.append(starts, [len(answers)] * 2)
        self._answers = answers

    def answers(self, queries: Queries) -> AnswerLists:
        """The known answers of each query."""
        keys = _key(queries.entity, queries.relation, queries.direction)
        found = self._keys.searchsorted(keys)
        starts, hit = self._offsets[found], self._keys[found] == keys
        lengths = (self._offsets[found + 1] - starts) * hit
        offsets = np.zeros(len(keys) + 1, np.int64)
        lengths.cumsum(out=offsets[1:])
        if len(keys) == 1:  # the usual query, and a third of the work
            return AnswerLists(offsets, self._answers[starts[0] : starts[0] + lengths[0]])
        positions = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
        return AnswerLists(offsets, self._answers[positions])


def _changes(*columns: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Where a row of sorted columns differs from the row before it, bool [rows]; the first row does."""
    new = np.ones(len(columns[0]), dtype=bool)
    new[1:] = np.logical_or.reduce([column[1:] != column[:-1] for column in columns])
    return new


def _key(
    entity: NDArray[np.int64], relation: NDArray[np.int64], direction: NDArray[np.int64] | int
) -> NDArray[np.int64]:
    """One sortable number for a query: entities below 2^32, relations below 2^30."""
    return ((relation * 2 + direction) << 32) + entity
