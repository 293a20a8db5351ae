"""Links: what `Linker.link_mentions` answers, in labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...data.mentions import Mention
from .answer import CUT, Answers, RankedAnswer
from .columns import Column, Columns, Texts


@dataclass(frozen=True, eq=False)
class Link(RankedAnswer):
    """The entities that a mention may mean, best first. Scores: higher is better; not comparable between mentions.

    Attributes:
        ids: int64 [answers]; scores: float32 [answers]; labels: one per answer.
        units: what each unit of the model says, by its name: float32 [answers]; the score is their mean. None unless
            it was asked for.
        cut: whether the sentence goes on behind what the model reads.
    """

    mention: Mention
    ids: NDArray[np.int64]
    scores: NDArray[np.float32]
    labels: tuple[str, ...]
    units: dict[str, NDArray[np.float32]] | None = None
    cut: bool = False

    def __repr__(self) -> str:
        lines = self._lines()
        for name, scores in (self.units or {}).items():
            lines = [f"{line}  {name} {score:8.4f}" for line, score in zip(lines, scores.tolist(), strict=True)]
        sentence = self.mention.sentence if len(self.mention.sentence) <= 100 else f"{self.mention.sentence[:100]}..."
        return "\n".join([f"{self.mention.text!r} in {sentence!r}", *lines, *self._noted()])

    def to_json(self) -> dict[str, Any]:
        """The mention and its answers, best first."""
        answers = self._ranked_json()
        if self.units is not None:
            for row, answer in enumerate(answers):
                answer["units"] = {name: float(scores[row]) for name, scores in self.units.items()}
        asked = {"mention": self.mention.text, "sentence": self.mention.sentence, "cut": self.cut}
        return {**asked, "answers": answers}

    def notes(self) -> list[str]:
        """Whether there is no candidate, and whether the sentence was cut, in words."""
        return [*(() if self.labels else ("no candidate",)), *((CUT,) if self.cut else ())]


class Links(Answers[Link]):
    """One Link per mention, in the order of the mentions.

    In tables the units' scores, where they were asked for, have columns of their own: `text_score` and so on.

    Attributes:
        k: answers per mention, after it was cut to the number of candidates.
        units: of which the scores were asked for, by name.
    """

    queries = "mentions"

    def __init__(self, links: Sequence[Link], k: int, units: Sequence[str] = ()) -> None:
        super().__init__(links)
        self.k = k
        self.units = tuple(units)

    def _table(self, count: int) -> Columns:
        links = self[:count]
        counts = np.array([len(link) for link in links], np.int64)
        numbers = np.repeat(np.arange(count), counts)
        columns: dict[str, Column] = {
            "number": numbers,
            "mention": Texts.of(link.mention.text for link in links).of_rows(numbers),
            "sentence": Texts.of(link.mention.sentence for link in links).of_rows(numbers),
            "rank": np.arange(1, len(numbers) + 1) - (np.cumsum(counts) - counts)[numbers],
            "id": np.concatenate([np.empty(0, np.int64), *(link.ids for link in links)]),
            "label": Texts.of(label for link in links for label in link.labels),
            "score": np.concatenate([np.empty(0, np.float32), *(link.scores for link in links)]),
        }
        for name in self.units:
            said = [np.empty(0, np.float32), *(link.units[name] for link in links if link.units)]
            columns[f"{name}_score"] = np.concatenate(said)
        return columns
