"""Queries in CSV and in JSON lines, read line by line; a line that is none is a bad row and not the end."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import DataError
from ..files.strict_json import strict_json
from .cells import Cells
from .queries import Column, Rows, check_columns

# A longer line is no query.
LONGEST = 1 << 20
# A row by column, or why it is none.
_Row = dict[str, Any] | str


@dataclass(frozen=True)
class CsvQueries:
    """See `QueryFile`. A header line, commas, quotes doubled within quotes, UTF-8; an empty cell is null."""

    path: Path
    header: list[str]
    names: list[str]
    total: int | None = None

    @classmethod
    def open(cls, path: Path, columns: tuple[Column, ...]) -> CsvQueries:
        with _opened(path) as file:
            try:
                header = next(csv.reader(_Lines(file), strict=True), [])
            except csv.Error as err:
                raise DataError(f"{path}: the header is no line of CSV ({err}).") from err
        check_columns(path, header, columns)
        return cls(path, header, [column.name for column in columns if column.name in header])

    def rows(self, most: int, skip: int) -> Iterator[Rows]:
        with _opened(self.path) as file:
            yield from _some(self._each(file), self.names, most, skip, typed=False)

    def _each(self, file: BinaryIO) -> Iterator[_Row]:
        lines = _Lines(file)
        reader = csv.reader(lines, strict=True)
        next(reader)
        while True:
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as err:
                lines.cut = False
                yield f"no line of CSV: {err}"
                continue
            if lines.cut:
                lines.cut = False
                yield _TOO_LONG
            elif row and len(row) != len(self.header):
                yield f"{len(row)} cells; expected {len(self.header)}, as in the header"
            elif row:
                yield {name: cell or None for name, cell in zip(self.header, row, strict=True)}


@dataclass(frozen=True)
class JsonQueries:
    """See `QueryFile`. An object on each line; empty lines are passed over."""

    path: Path
    columns: tuple[Column, ...]
    total: int | None = None

    def rows(self, most: int, skip: int) -> Iterator[Rows]:
        with _opened(self.path) as file:
            yield from _some(self._each(file), [column.name for column in self.columns], most, skip, typed=True)

    def _each(self, file: BinaryIO) -> Iterator[_Row]:
        lines = _Lines(file)
        for line in lines:
            if lines.cut:
                lines.cut = False
                yield _TOO_LONG
            elif line.strip():
                yield _object(line)


_TOO_LONG = f"a line of more than {LONGEST:,} bytes"


class _Lines:
    """The lines of a file as texts. Of one that is too long the start is given, the rest is passed over, and `cut` is
    set until it is taken back. Bytes that are not UTF-8 become half characters, which no label has."""

    def __init__(self, file: BinaryIO) -> None:
        self.cut = False
        self._file = file
        self._first = True

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._file.readline(LONGEST)
        if not line:
            raise StopIteration
        rest = line
        while len(rest) == LONGEST and not rest.endswith(b"\n"):
            rest = self._file.readline(LONGEST)
            self.cut = self.cut or bool(rest)
        text = line.decode("utf-8", "surrogateescape")
        if self._first:
            self._first, text = False, text.removeprefix("\ufeff")
        return text


def _object(line: str) -> _Row:
    try:
        row = strict_json(line)
    except json.JSONDecodeError as err:
        return f"not JSON: {err.msg} at character {err.pos}"
    except (ValueError, RecursionError) as err:
        return f"JSON that cannot be read: {err!s:.200}"
    return row if isinstance(row, dict) else f"{type(row).__name__} in JSON; expected an object"


def _some(rows: Iterable[_Row], names: list[str], most: int, skip: int, *, typed: bool) -> Iterator[Rows]:
    """Rows from number `skip` on, at most so many at a time."""
    rest, first = itertools.islice(rows, skip, None), skip
    while some := list(itertools.islice(rest, most)):
        wrong = {place: row for place, row in enumerate(some) if isinstance(row, str)}
        found = [{} if isinstance(row, str) else row for row in some]
        cells = {name: Cells.of([row.get(name) for row in found]) for name in names}
        yield Rows(first, len(some), cells, typed, wrong)
        first += len(some)


def _opened(path: Path) -> BinaryIO:
    try:
        return open(path, "rb")
    except OSError as err:
        raise DataError(f"cannot read {path}: {err.strerror}.") from err
