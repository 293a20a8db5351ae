"""Predictions: what `Model` answers, in labels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...files.labels import Labels
from ...ranking.exact import TopK
from ...ranking.known_triples import HEAD, TAIL, AnswerLists, KnownTriples, Queries
from .answer import Answers, RankedAnswer
from .columns import Columns, Texts, labels_of

# Known answers that are named where they are many.
_NAMED = 3
# What is asked for, by the number of a direction.
_SIDES = ("tail", "head")


@dataclass(frozen=True, eq=False)
class Ranking(RankedAnswer):
    """The answers of one query, best first. Scores: higher is better; not comparable between queries or models.

    Attributes:
        head, relation, tail: what was given; None is what is asked for.
        ids: int64 [answers]; scores: float32 [answers]; labels: one per answer.
        known: answers that the data already give, which were left out for that; by ascending id.
    """

    head: str | None
    relation: str
    tail: str | None
    ids: NDArray[np.int64]
    scores: NDArray[np.float32]
    labels: tuple[str, ...]
    known: tuple[str, ...] = ()

    @property
    def direction(self) -> Literal["head", "tail"]:
        """Which side is asked for."""
        return "tail" if self.tail is None else "head"

    @property
    def query(self) -> str:
        """In words, for example "(Norway, capital, ?)"."""
        return _in_words(self.head, self.relation, self.tail)

    def __repr__(self) -> str:
        return "\n".join([self.query, *self._lines(), *self._noted()])

    def to_json(self) -> dict[str, Any]:
        """The query, the known answers that were left out, and the answers, best first."""
        asked = {"query": self.query, "head": self.head, "relation": self.relation, "tail": self.tail}
        return {**asked, "direction": self.direction, "known": list(self.known), "answers": self._ranked_json()}

    def notes(self) -> list[str]:
        """Whether nothing is left, and which known answers were left out, in words."""
        count = len(self.known)
        named = ", ".join(self.known[:_NAMED]) + (", ..." if count > _NAMED else "")
        left_out = [f"{count:,} known answer{'s' if count > 1 else ''} left out: {named}"] if count else []
        return [*(() if self.labels else ("no candidate left",)), *left_out]


class Predictions(Answers[Ranking]):
    """One Ranking per query, in the order of the queries.

    In tables `head`, `relation` and `tail` are the triple with the answer in it, and `direction` says which side it is.

    Attributes:
        k: answers per query, after it was cut to the number of candidates; a query whose known answers leave
            fewer candidates has fewer.
    """

    def __init__(
        self,
        top: TopK,
        queries: Queries,
        known: KnownTriples | None,
        candidates: NDArray[np.int64] | None,
        entities: Labels,
        relations: Labels,
        k: int,
    ) -> None:
        self.k = k
        self._top, self._queries, self._known, self._candidates = top, queries, known, candidates
        self._entities, self._relations = entities, relations

    def __len__(self) -> int:
        return len(self._queries)

    def __getstate__(self) -> dict[str, Any]:
        # To another process go the answers that were left out, not the index of all that are known.
        return {**self.__dict__, "_left_out": self._left_out, "_known": None, "_candidates": None}

    @cached_property
    def _left_out(self) -> AnswerLists | None:
        # Looked up when they are asked for, as labels are.
        found = None if self._known is None else self._known.answers_of(self._queries)
        return found if found is None or self._candidates is None else found.among(self._candidates)

    def _answer(self, position: int) -> Ranking:
        given = self._entities[int(self._queries.entity[position])]
        is_tail = self._queries.direction[position] == TAIL
        part = slice(int(self._top.offsets[position]), int(self._top.offsets[position + 1]))
        ids = self._top.ids[part]
        known = () if self._left_out is None else self._left_out.of(position).tolist()
        return Ranking(
            given if is_tail else None,
            self._relations[int(self._queries.relation[position])],
            None if is_tail else given,
            ids,
            self._top.scores[part],
            tuple(self._entities[i] for i in ids.tolist()),
            tuple(self._entities[i] for i in known),
        )

    def _table(self, count: int) -> Columns:
        offsets, queries = self._top.offsets[: count + 1], self._queries[:count]
        numbers = np.repeat(np.arange(count), np.diff(offsets))
        ids, scores = self._top.ids[: offsets[-1]], self._top.scores[: offsets[-1]]
        answers, given = labels_of(self._entities, ids, queries.entity)
        (relations,) = labels_of(self._relations, queries.relation)
        asks_tail = queries.direction == TAIL
        asked = zip(given.tolist(), relations.tolist(), asks_tail.tolist(), strict=True)
        words = (_in_words(*((name, what, None) if tail else (None, what, name))) for name, what, tail in asked)
        sides, of_query = asks_tail[numbers], given.places[numbers]
        return {
            "number": numbers,
            "query": Texts.of(words).of_rows(numbers),
            "head": Texts(np.where(sides, of_query, answers.places), answers.texts),
            "relation": relations.of_rows(numbers),
            "tail": Texts(np.where(sides, answers.places, of_query), answers.texts),
            "direction": Texts(np.where(sides, TAIL, HEAD).astype(np.int32), _SIDES),
            "rank": np.arange(1, len(ids) + 1) - offsets[numbers],
            "id": ids,
            "label": answers,
            "score": scores,
        }


def _in_words(head: str | None, relation: str, tail: str | None) -> str:
    return f"({head or '?'}, {relation}, {tail or '?'})"
