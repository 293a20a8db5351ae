"""Answers: what every class that answers gives back: one answer per query, as text, JSON and tables."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from ...errors import missing_package
from .columns import Columns, to_arrow, to_pandas

if TYPE_CHECKING:
    import pandas
    import pyarrow

# Queries that are shown of many.
_SHOWN = 5
# The note on a sentence that is longer than what a model reads.
CUT = "the end of the sentence was not read: it is longer than the model's texts"


class Answer(ABC):
    """The answer of one query."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """The query and its answer, as plain values."""

    def notes(self) -> list[str]:
        """What else is to be said wherever it is shown."""
        return []

    def _noted(self) -> list[str]:
        """The notes as lines of a text."""
        return [f"  ({note})" for note in self.notes()]


class RankedAnswer(Answer):
    """Candidates, best first; `Ranking` and `Link` have these fields among their own."""

    ids: NDArray[np.int64]
    scores: NDArray[np.float32]
    labels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def __iter__(self) -> Iterator[tuple[str, float]]:
        return zip(self.labels, self.scores.tolist(), strict=True)

    def _lines(self) -> list[str]:
        """One line per answer."""
        width = max((len(label) for label in self.labels), default=0)
        return [f"  {rank:>2}. {label:<{width}}  {score:9.4f}" for rank, (label, score) in enumerate(self, start=1)]

    def _ranked(self) -> list[tuple[int, int, str, float]]:
        """Rank, id, label and score of each answer."""
        answers = zip(self.ids.tolist(), self.labels, self.scores.tolist(), strict=True)
        return [(rank, *answer) for rank, answer in enumerate(answers, start=1)]

    def _ranked_json(self) -> list[dict[str, Any]]:
        return [{"id": number, "label": label, "score": score} for _, number, label, score in self._ranked()]


AnyAnswer = TypeVar("AnyAnswer", bound=Answer, covariant=True)


class Answers(Sequence[AnyAnswer]):
    """One answer per query, in the order of the queries.

    Attributes:
        queries: what several queries are called.
    """

    queries: ClassVar[str] = "queries"

    def __init__(self, answers: Sequence[AnyAnswer]) -> None:
        self._answers = tuple(answers)

    def __len__(self) -> int:
        return len(self._answers)

    def _answer(self, position: int) -> AnyAnswer:
        return self._answers[position]

    @overload
    def __getitem__(self, position: int) -> AnyAnswer: ...
    @overload
    def __getitem__(self, position: slice) -> list[AnyAnswer]: ...
    def __getitem__(self, position: int | slice) -> AnyAnswer | list[AnyAnswer]:
        if isinstance(position, slice):
            return [self._answer(i) for i in range(len(self))[position]]
        return self._answer(range(len(self))[position])

    def __repr__(self) -> str:
        return "\n".join([*map(repr, self[:_SHOWN]), *self._unshown()])

    def to_json(self) -> list[dict[str, Any]]:
        """Every query with its answer."""
        return [answer.to_json() for answer in self]

    def to_pandas(self) -> pandas.DataFrame:
        """A table of one row per answer; `number` is the place of its query, from 0.

        Raises:
            BackendError: pandas is not installed.
        """
        try:
            return to_pandas(self._table(len(self)))
        except ModuleNotFoundError as err:
            raise missing_package("pandas", "tables", "to_pandas()") from err

    def to_arrow(self) -> pyarrow.Table:
        """The table of `to_pandas` in Arrow's form, made without an object of Python for each cell.

        Texts are dictionary<values=string, indices=int32> with each text once, scores float, whole numbers int64.

        Raises:
            BackendError: pyarrow is not installed.
        """
        try:
            return to_arrow(self._table(len(self)))
        except ModuleNotFoundError as err:
            raise missing_package("pyarrow", "tables", "to_arrow()") from err

    def _repr_html_(self) -> str:
        """The first queries as a table, for notebooks."""
        columns = self._table(min(len(self), _SHOWN))
        rows = list(zip(*(column.tolist() for column in columns.values()), strict=True))
        lines = ["<table>", _html_row("th", list(columns))]
        for number, answer in enumerate(self[:_SHOWN]):
            lines += [_html_row("td", row) for row in rows if row[0] == number]
            for note in answer.notes():
                lines.append(f'<tr><td>{number}</td><td colspan="{len(columns) - 1}">{escape(note)}</td></tr>')
        return "\n".join([*lines, "</table>", *(f"<p>{line}</p>" for line in self._unshown())])

    @abstractmethod
    def _table(self, count: int) -> Columns:
        """The columns of the tables, of the first so many queries; the first column is `number`."""

    def _unshown(self) -> list[str]:
        return [f"... {len(self) - _SHOWN:,} more {self.queries}"] if len(self) > _SHOWN else []


def _html_row(cell: str, values: Sequence[Any]) -> str:
    shown = (f"{value:.4f}" if isinstance(value, float) else escape(str(value)) for value in values)
    return "<tr>" + "".join(f"<{cell}>{text}</{cell}>" for text in shown) + "</tr>"
