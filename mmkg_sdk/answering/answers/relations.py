"""Relations: what `Extractor.extract_relations` answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...files.labels import Labels
from ..ids import checked_k
from .answer import CUT, Answer, Answers
from .columns import Columns, Texts


@dataclass(frozen=True, eq=False)
class ExtractedRelation(Answer):
    """The relation of a mention.

    Attributes:
        head, tail: the words asked about.
        label: the likeliest relation; of equal ones the first.
        score: its probability by the model, the softmax over all relations. Nobody has checked how often a model that
            says 0.9 is right.
        probabilities: float32 [relations], in the order of `labels`.
        labels: all relations.
        cut: whether the sentence goes on behind what the model reads.
    """

    sentence: str
    head: str
    tail: str
    probabilities: NDArray[np.float32]
    labels: Labels
    cut: bool = False

    @property
    def label(self) -> str:
        return self.labels[int(self.probabilities.argmax())]

    @property
    def score(self) -> float:
        return float(self.probabilities.max())

    def ranked(self, k: int | None = None) -> list[tuple[str, float]]:
        """The k likeliest relations with their probabilities; None = all.

        Raises:
            QueryError: k out of range.
        """
        return [(self.labels[row], float(self.probabilities[row])) for row in self._order(k)]

    def __repr__(self) -> str:
        return "\n".join([f"({self.head}, {self.label}, {self.tail})  {self.score:.3f}", *self._noted()])

    def to_json(self, k: int | None = None) -> dict[str, Any]:
        """The query and the k likeliest relations, best first; None = all."""
        answers = [
            {"id": row, "label": self.labels[row], "score": float(self.probabilities[row])} for row in self._order(k)
        ]
        asked = {"sentence": self.sentence, "cut": self.cut, "head": self.head, "tail": self.tail}
        return {**asked, "answers": answers}

    def notes(self) -> list[str]:
        """Whether the sentence was cut, in words."""
        return [CUT] if self.cut else []

    def _order(self, k: int | None) -> list[int]:
        """Ids of the k likeliest relations."""
        order = np.argsort(-self.probabilities, kind="stable")[: None if k is None else checked_k(k)]
        return [int(row) for row in order]


class ExtractedRelations(Answers[ExtractedRelation]):
    """One ExtractedRelation per mention, in the order of the mentions.

    Attributes:
        k: relations of each mention in tables, where the likeliest has rank 1.
    """

    queries = "mentions"

    def __init__(self, answers: Sequence[ExtractedRelation], k: int = 1) -> None:
        super().__init__(answers)
        self.k = k

    def _table(self, count: int) -> Columns:
        found = self[:count]
        orders = [one._order(self.k) for one in found]
        counts = np.array([len(order) for order in orders], np.int64)
        numbers = np.repeat(np.arange(count), counts)
        return {
            "number": numbers,
            "sentence": Texts.of(one.sentence for one in found).of_rows(numbers),
            "head": Texts.of(one.head for one in found).of_rows(numbers),
            "relation": Texts.of(one.labels[row] for one, order in zip(found, orders, strict=True) for row in order),
            "tail": Texts.of(one.tail for one in found).of_rows(numbers),
            "rank": np.arange(1, len(numbers) + 1) - (np.cumsum(counts) - counts)[numbers],
            "id": np.array([row for order in orders for row in order], np.int64),
            "score": np.concatenate(
                [np.empty(0, np.float32)] + [one.probabilities[order] for one, order in zip(found, orders, strict=True)]
            ),
        }
