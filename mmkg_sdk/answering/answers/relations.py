"""Relations: what `Extractor.extract_relations` answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...files.labels import Labels
from ..ids import checked_k
from .answer import CUT, Answer, Answers


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

    def _rows(self) -> list[tuple[Any, ...]]:
        return [(self.sentence, self.head, self.label, self.tail, self._order(1)[0], self.score)]

    def notes(self) -> list[str]:
        """Whether the sentence was cut, in words."""
        return [CUT] if self.cut else []

    def _order(self, k: int | None) -> list[int]:
        """Ids of the k likeliest relations."""
        order = np.argsort(-self.probabilities, kind="stable")[: None if k is None else checked_k(k)]
        return [int(row) for row in order]


class ExtractedRelations(Answers[ExtractedRelation]):
    """One ExtractedRelation per mention, in the order of the mentions. Tables have the likeliest relation of each."""

    columns: ClassVar[dict[str, type]] = {
        **dict.fromkeys(("sentence", "head", "relation", "tail"), str),
        "id": int,
        "score": float,
    }
    queries = "mentions"
