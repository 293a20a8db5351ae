"""Predictions: ranked answers in labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from ..errors import missing_package
from ..files.labels import Labels
from ..ranking.exact import TopK

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, eq=False)
class Ranking:
    """The answers of one query, best first. Scores: higher is better; not comparable between queries or models.

    Attributes:
        query: the question in words, for example "(Norway, capital, ?)".
        ids: int64 [answers]; scores: float32 [answers]; labels: one per answer.
    """

    query: str
    ids: NDArray[np.int64]
    scores: NDArray[np.float32]
    labels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def __iter__(self) -> Iterator[tuple[str, float]]:
        return zip(self.labels, self.scores.tolist(), strict=True)

    def __repr__(self) -> str:
        width = max((len(label) for label in self.labels), default=0)
        lines = [f"  {i:>2}. {label:<{width}}  {score:9.4f}" for i, (label, score) in enumerate(self, start=1)]
        return "\n".join([self.query, *(lines or ["  (no candidate left)"])])

    def to_json(self) -> dict[str, Any]:
        """The query and its answers, best first."""
        answers = zip(self.ids.tolist(), self.labels, self.scores.tolist(), strict=True)
        return {
            "query": self.query,
            "answers": [{"id": number, "label": label, "score": score} for number, label, score in answers],
        }


class Predictions(Sequence[Ranking]):
    """One Ranking per query, in the order of the queries.

    Attributes:
        k: answers per query, after it was cut to the number of candidates; a query whose known answers leave
            fewer candidates has fewer.
    """

    def __init__(self, top: TopK, entities: Labels, questions: Sequence[str], k: int) -> None:
        self.k = k
        self._top, self._entities, self._questions = top, entities, questions

    def __len__(self) -> int:
        return len(self._questions)

    @overload
    def __getitem__(self, position: int) -> Ranking: ...
    @overload
    def __getitem__(self, position: slice) -> list[Ranking]: ...
    def __getitem__(self, position: int | slice) -> Ranking | list[Ranking]:
        if isinstance(position, slice):
            return [self[i] for i in range(*position.indices(len(self)))]
        position = range(len(self))[position]
        part = slice(int(self._top.offsets[position]), int(self._top.offsets[position + 1]))
        ids = self._top.ids[part]
        labels = tuple(self._entities[i] for i in ids.tolist())
        return Ranking(self._questions[position], ids, self._top.scores[part], labels)

    def __repr__(self) -> str:
        shown = [repr(ranking) for ranking in self[:5]]
        return "\n".join([*shown, f"... {len(self) - 5:,} more queries"] if len(self) > 5 else shown)

    def to_json(self) -> list[dict[str, Any]]:
        """Every query with its answers."""
        return [ranking.to_json() for ranking in self]

    def to_pandas(self) -> pandas.DataFrame:
        """One row per answer: query, rank, id, label, score."""
        rows = [
            (ranking.query, rank, number, label, score)
            for ranking in self
            for rank, (number, (label, score)) in enumerate(zip(ranking.ids.tolist(), ranking, strict=True), 1)
        ]
        return data_frame(rows, ["query", "rank", "id", "label", "score"])


def data_frame(rows: Sequence[tuple[Any, ...]], columns: Sequence[str]) -> pandas.DataFrame:
    """Rows of answers as a table.

    Raises:
        BackendError: pandas is not installed.
    """
    try:
        import pandas
    except ModuleNotFoundError as err:
        raise missing_package("pandas", "all", "to_pandas()") from err
    return pandas.DataFrame(rows, columns=list(columns))
