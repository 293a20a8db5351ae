"""Known triples: which answers of a query are known already, as sorted ids in one flat array."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

# What a query asks for; the value is the `direction` input of the query graphs.
TAIL, HEAD = 0, 1
# Where a key holds the entity.
_LOW = (1 << 32) - 1


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

    def of(self, query: int) -> NDArray[np.int64]:
        """The answers of one query."""
        return self.ids[self.offsets[query] : self.offsets[query + 1]]

    def part(self, start: int, stop: int) -> AnswerLists:
        """The answers of the queries from start up to stop."""
        offsets = self.offsets[start : stop + 1]
        return AnswerLists(offsets - offsets[0], self.ids[offsets[0] : offsets[-1]])

    def within(self, start: int, stop: int) -> AnswerLists:
        """The answers from one id up to another, counted from the first."""
        inside = (self.ids >= start) & (self.ids < stop)
        kept = np.concatenate([[0], np.cumsum(inside)])
        return AnswerLists(kept[self.offsets], self.ids[inside] - start)

    def among(self, candidates: NDArray[np.int64]) -> AnswerLists:
        """The answers that are among some candidates, which are ascending."""
        places = candidates.searchsorted(self.ids)
        inside = places < len(candidates)
        inside[inside] = candidates[places[inside]] == self.ids[inside]
        kept = np.concatenate([[0], np.cumsum(inside)])
        return AnswerLists(kept[self.offsets], self.ids[inside])


class KnownTriples:
    """An index from query to known answers, in both directions.

    Attributes:
        keys: int64 [queries], ascending: ((relation * 2 + direction) << 32) + entity of each query with known answers.
        offsets: int64 [queries + 1].
        answers: int64 [n]; those of query i are answers[offsets[i]:offsets[i + 1]], ascending, none twice.

    Args:
        triples: int64 [n, 3] head, relation, tail; duplicates do no harm.
    """

    def __init__(self, triples: NDArray[np.int64]) -> None:
        head, relation, tail = triples.astype(np.int64, copy=False).T
        keys = np.concatenate([_key(head, relation, TAIL), _key(tail, relation, HEAD)])
        keys, answers = _distinct_pairs(keys, np.concatenate([tail, head]))
        starts = np.flatnonzero(_changes(keys))
        self.keys: NDArray[np.int64] = keys[starts]
        self.offsets: NDArray[np.int64] = np.append(starts, len(answers))
        self.answers: NDArray[np.int64] = answers

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[np.int64]]) -> Self:
        """The index whose `arrays` were kept; they are taken as they are."""
        index = cls.__new__(cls)
        index.keys, index.offsets, index.answers = (arrays[name] for name in ("keys", "offsets", "answers"))
        return index

    def arrays(self) -> dict[str, NDArray[np.int64]]:
        """keys, offsets and answers by name."""
        return {"keys": self.keys, "offsets": self.offsets, "answers": self.answers}

    def answers_of(self, queries: Queries) -> AnswerLists:
        """The known answers of each query."""
        if len(queries) == 1:  # the usual query, and a third of the work
            ids = self._answers_of_one(int(queries.entity[0]), int(queries.relation[0]), int(queries.direction[0]))
            return AnswerLists(np.array([0, len(ids)]), ids)
        keys = _key(queries.entity, queries.relation, queries.direction)
        offsets = np.zeros(len(keys) + 1, np.int64)
        if not len(self.keys):
            return AnswerLists(offsets, self.answers)
        found = np.minimum(self.keys.searchsorted(keys), len(self.keys) - 1)
        starts, hit = self.offsets[found], self.keys[found] == keys
        lengths = (self.offsets[found + 1] - starts) * hit
        lengths.cumsum(out=offsets[1:])
        positions = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
        return AnswerLists(offsets, self.answers[positions])

    def _answers_of_one(self, entity: int, relation: int, direction: int) -> NDArray[np.int64]:
        key = ((relation * 2 + direction) << 32) + entity
        place = int(self.keys.searchsorted(key))
        if place == len(self.keys) or self.keys[place] != key:
            return self.answers[:0]
        return self.answers[self.offsets[place] : self.offsets[place + 1]]


def _distinct_pairs(keys: NDArray[np.int64], answers: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Every pair once, by ascending key and answer."""
    bits = int(answers.max(initial=0)).bit_length()
    entity_bits = int((keys & _LOW).max(initial=0)).bit_length()
    shift = entity_bits + bits
    if int((keys >> 32).max(initial=0)).bit_length() + shift > 63:
        order = np.lexsort((answers, keys))
        keys, answers = keys[order], answers[order]
        new = _changes(keys, answers)
        return keys[new], answers[new]
    # Usually a pair fits one number, and to sort numbers is several times faster than to sort by two.
    pairs = ((keys >> 32) << shift) + ((keys & _LOW) << bits) + answers
    pairs.sort()
    pairs = pairs[_changes(pairs)]
    keys = (pairs >> shift << 32) + ((pairs >> bits) & ((1 << entity_bits) - 1))
    return keys, pairs & ((1 << bits) - 1)


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
