"""What the tasks that read sentences share: cells as texts, and queries that are asked apart where one is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from ..answering.answers.answer import Answer, Answers
from ..data.sentences import SentenceImages
from ..errors import QueryError
from .queries import Column, Rows
from .run import Job

# Rows that are answered together: seconds of work, which is what a kill costs.
_ROWS = 128
IMAGES = (Column("image", needed=False), Column("aux", "texts", needed=False), Column("rcnn", "texts", needed=False))

Query = TypeVar("Query")
AnyAnswer = TypeVar("AnyAnswer", bound=Answer)


def text_job(
    columns: tuple[Column, ...],
    query: Callable[[dict[str, Any]], Query],
    ask: Callable[[list[Query]], Sequence[AnyAnswer]],
    answers: Callable[[list[AnyAnswer]], Answers[AnyAnswer]],
    options: Mapping[str, Any],
) -> Job:
    """A job whose rows are texts.

    Args:
        query: of the cells of a row, by column; None where it is null and need not be there.
        ask: what answers queries.
        answers: what makes a table of some answers.

    Raises:
        QueryError: what holds for all rows is wrong, such as k.
    """
    ask([])

    def answer(rows: Rows) -> tuple[Any, dict[int, str]]:
        kept: list[int] = []
        queries: list[Query] = []
        bad: dict[int, str] = {}
        for row, cells in _by_row(rows, columns):
            if wrong := next((said for column in columns if (said := _wrong(column, cells[column.name]))), ""):
                bad[row] = wrong
            else:
                kept.append(row)
                queries.append(query(cells))
        found, refused = ask_each(ask, queries)
        bad |= {kept[place]: reason for place, reason in refused.items()}
        table = answers(list(found.values())).to_arrow()
        numbers = np.array([kept[place] for place in found], np.int64)
        return table.set_column(0, "number", [numbers[table.column("number").to_numpy()]]), bad

    return Job(columns, _ROWS, options, answer)


def ask_each(
    ask: Callable[[list[Query]], Sequence[AnyAnswer]], queries: list[Query]
) -> tuple[dict[int, AnyAnswer], dict[int, str]]:
    """The answer of every query that has one, and why the others have none, both by position.

    All are asked at once. Where that is refused the halves are, down to the query that is wrong.
    """
    found: dict[int, AnyAnswer] = {}
    refused: dict[int, str] = {}
    waiting = [(0, len(queries))]
    while waiting:
        start, stop = waiting.pop()
        try:
            found.update(zip(range(start, stop), ask(queries[start:stop]), strict=True))
        except QueryError as err:
            if stop - start < 2:
                # Without its place among those that were asked, which is the only one.
                refused[start] = str(err).removeprefix("mention 0 of 1: ").removeprefix("sentence 0 of 1: ")
                continue
            middle = (start + stop) // 2
            waiting += [(middle, stop), (start, middle)]  # the first half is taken first
    return found, refused


def images_of(cells: Mapping[str, Any]) -> SentenceImages:
    """What the columns of IMAGES name."""
    aux, rcnn = ([one] if isinstance(one := cells[name] or (), str) else one for name in ("aux", "rcnn"))
    return SentenceImages(cells["image"], aux, rcnn)


def _by_row(rows: Rows, columns: tuple[Column, ...]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The number of every row that could be read, and its cells."""
    names = [column.name for column in columns]
    for row, cells in enumerate(zip(*(rows[name].tolist() for name in names), strict=True)):
        if row not in rows.unreadable:
            yield row, dict(zip(names, cells, strict=True))


def _wrong(column: Column, cell: Any) -> str:
    """What is wrong with a cell, or nothing."""
    if cell is None:
        return f"{column.name} is null" if column.needed else ""
    is_list = column.kind == "texts" and isinstance(cell, list) and all(isinstance(one, str) for one in cell)
    if isinstance(cell, str) or is_list:
        return ""
    expected = "a list of texts" if column.kind == "texts" else "a text"
    return f"{column.name} is {cell!r:.60} ({type(cell).__name__}); expected {expected}"
