"""Queries in tables of Arrow: which columns they must have, and their rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import DataError
from .cells import Cells
from .queries import Column, Rows, check_columns

_EXPECTED = {"name": "texts or whole numbers", "text": "texts", "texts": "lists of texts"}


def check_schema(where: str | Path, schema: Any, columns: tuple[Column, ...]) -> None:
    """Raise DataError where a column that is needed lacks, or one that is read is there twice or of another type."""
    check_columns(where, schema.names, columns)
    for column in columns:
        if column.name in schema.names and not _fits(schema.field(column.name).type, column.kind):
            raise DataError(
                f"{where}: column {column.name!r} is {schema.field(column.name).type}; expected "
                f"{_EXPECTED[column.kind]}."
            )


def rows_of(batch: Any, columns: tuple[Column, ...], first: int) -> Rows:
    """The rows of a record batch or a table, which have numbers from `first` on."""
    names = [column.name for column in columns if column.name in batch.schema.names]
    cells = {name: Cells.of_arrow(_one_array(batch.column(name))) for name in names}
    return Rows(first, batch.num_rows, cells, typed=True, unreadable={})


def _one_array(column: Any) -> Any:
    """A column without its chunks, of which each may have a dictionary of its own."""
    import pyarrow

    return column.unify_dictionaries().combine_chunks() if isinstance(column, pyarrow.ChunkedArray) else column


def _fits(kind: Any, wanted: str) -> bool:
    from pyarrow import types

    if types.is_dictionary(kind):
        kind = kind.value_type
    is_text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    if types.is_null(kind) or is_text:
        return True
    if wanted == "name":
        return bool(types.is_integer(kind))
    is_list = types.is_list(kind) or types.is_large_list(kind)
    return wanted == "texts" and is_list and _fits(kind.value_type, "text")
