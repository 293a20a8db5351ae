"""A file of queries: what its columns must be, and its rows, some at a time."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from ..errors import DataError
from .cells import Cells


@dataclass(frozen=True)
class Column:
    """A column that a task reads; others are passed over.

    Attributes:
        kind: a label or an id, a text, or a list of texts (of which one text is a short form).
        needed: whether the file must have it.
    """

    name: str
    kind: Literal["name", "text", "texts"] = "text"
    needed: bool = True


@dataclass(frozen=True)
class Rows:
    """Some rows of a file.

    Attributes:
        first: number of the first one, from 0, without a header.
        columns: of every column that the task reads; null in all rows where the file has none.
        typed: whether the file tells texts from numbers. In CSV a decimal number may be an id.
        unreadable: by position in here the rows that are none, with the reason; their cells are null.
    """

    first: int
    count: int
    columns: Mapping[str, Cells]
    typed: bool
    unreadable: Mapping[int, str]

    def __getitem__(self, name: str) -> Cells:
        return self.columns[name] if name in self.columns else Cells(np.full(self.count, -1), [])

    def part(self, start: int) -> Rows:
        """Those from one on."""
        columns = {name: cells.part(start) for name, cells in self.columns.items()}
        later = {row - start: reason for row, reason in self.unreadable.items() if row >= start}
        return Rows(self.first + start, self.count - start, columns, self.typed, later)


class QueryFile(Protocol):
    """A file of queries, whose columns were checked."""

    @property
    def total(self) -> int | None:
        """How many rows it has, where it says so."""

    def rows(self, most: int, skip: int) -> Iterator[Rows]:
        """Its rows from number `skip` on, at most so many at a time.

        Raises:
            DataError: it cannot be read to its end.
        """


def state_of(path: Path) -> tuple[int, int, int]:
    """What changes when a file does: which one it is, its size and its time.

    Raises:
        DataError: it is no file.
    """
    try:
        found = path.stat()
    except OSError as err:
        raise DataError(f"cannot read {path}: {err.strerror}. Pass a file of queries.") from err
    if not stat.S_ISREG(found.st_mode):
        raise DataError(f"{path} is no regular file. Pass a file of queries, not a folder, pipe or device.")
    return found.st_ino, found.st_size, found.st_mtime_ns


def sha256_of(path: Path) -> str:
    """The hash of all that a file holds.

    Raises:
        DataError: it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as err:
        raise DataError(f"cannot read {path}: {err.strerror}.") from err


def check_columns(where: str | Path, found: list[str], columns: tuple[Column, ...]) -> None:
    """Raise DataError where a column that is needed lacks, or one that is read stands there twice."""
    for column in columns:
        times = found.count(column.name)
        if times > 1 or (column.needed and not times):
            named = ", ".join(f"{name!r:.40}" for name in found[:20]) or "none"
            needed = ", ".join(one.name for one in columns if one.needed)
            others = ", ".join(one.name for one in columns if not one.needed)
            raise DataError(
                f"{where}: column {column.name!r} is there {times} times; found {named}. Expected {needed}"
                + (f", and of {others} what you have." if others else ".")
            )
