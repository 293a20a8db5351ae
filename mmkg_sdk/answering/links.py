"""Links: what `Linker.link_mentions` answers, in labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from ..data.mentions import Mention
from .predictions import data_frame

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, eq=False)
class Link:
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

    def __len__(self) -> int:
        return len(self.labels)

    def __iter__(self) -> Iterator[tuple[str, float]]:
        return zip(self.labels, self.scores.tolist(), strict=True)

    def __repr__(self) -> str:
        width = max((len(label) for label in self.labels), default=0)
        lines = [f"  {i:>2}. {label:<{width}}  {score:9.4f}" for i, (label, score) in enumerate(self, start=1)]
        for name, scores in (self.units or {}).items():
            lines = [f"{line}  {name} {score:8.4f}" for line, score in zip(lines, scores.tolist(), strict=True)]
        sentence = self.mention.sentence if len(self.mention.sentence) <= 100 else f"{self.mention.sentence[:100]}..."
        said = f"{self.mention.text!r} in {sentence!r}{', of which the end was not read' if self.cut else ''}"
        return "\n".join([said, *(lines or ["  (no candidate)"])])

    def to_json(self) -> dict[str, Any]:
        """The mention and its answers."""
        answers: list[dict[str, Any]] = [
            {"id": number, "label": label, "score": score}
            for number, (label, score) in zip(self.ids.tolist(), self, strict=True)
        ]
        if self.units is not None:
            for row, answer in enumerate(answers):
                answer["units"] = {name: float(scores[row]) for name, scores in self.units.items()}
        asked = {"mention": self.mention.text, "sentence": self.mention.sentence, "cut": self.cut}
        return {**asked, "answers": answers}


class Links(Sequence[Link]):
    """One Link per mention, in the order of the mentions.

    Attributes:
        k: answers per mention, after it was cut to the number of candidates.
    """

    def __init__(self, links: Sequence[Link], k: int) -> None:
        self.k = k
        self._links = tuple(links)

    def __len__(self) -> int:
        return len(self._links)

    @overload
    def __getitem__(self, position: int) -> Link: ...
    @overload
    def __getitem__(self, position: slice) -> list[Link]: ...
    def __getitem__(self, position: int | slice) -> Link | list[Link]:
        return list(self._links[position]) if isinstance(position, slice) else self._links[position]

    def __repr__(self) -> str:
        shown = [repr(link) for link in self[:5]]
        return "\n".join([*shown, f"... {len(self) - 5:,} more mentions"] if len(self) > 5 else shown)

    def to_json(self) -> list[dict[str, Any]]:
        """Every mention with its answers."""
        return [link.to_json() for link in self]

    def to_pandas(self) -> pandas.DataFrame:
        """One row per answer: mention, sentence, rank, id, label, score."""
        rows = [
            (link.mention.text, link.mention.sentence, rank, number, label, score)
            for link in self
            for rank, (number, (label, score)) in enumerate(zip(link.ids.tolist(), link, strict=True), 1)
        ]
        return data_frame(rows, ["mention", "sentence", "rank", "id", "label", "score"])
