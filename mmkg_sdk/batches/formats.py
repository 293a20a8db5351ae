"""The formats of files of queries and answers, told by their suffixes."""

from __future__ import annotations

from pathlib import Path

from ..errors import DataError
from .lines import CsvQueries, JsonQueries
from .parquet import ParquetQueries
from .queries import Column, QueryFile

SUFFIXES = (".parquet", ".csv", ".jsonl")


def open_queries(path: Path, columns: tuple[Column, ...]) -> QueryFile:
    """Open a file, by its suffix.

    Raises:
        DataError: no such file, another suffix, a column that lacks, or one of another type.
    """
    if path.suffix == ".parquet":
        return ParquetQueries.open(path, columns)
    return CsvQueries.open(path, columns) if path.suffix == ".csv" else JsonQueries(path, columns)


def check_suffix(path: Path, what: str) -> None:
    """Raise DataError for a file whose format its name does not say."""
    if path.suffix not in SUFFIXES:
        found = repr(path.suffix) if path.suffix else "no suffix"
        raise DataError(f"{path}: a file of {what} ends in {', '.join(SUFFIXES)}; found {found}.")
