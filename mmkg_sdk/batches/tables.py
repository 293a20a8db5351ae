"""Tables of answers as one file: Parquet, CSV or JSON lines."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

# Answers in a row group of Parquet, at least: parts of a few are written together.
_GROUP = 1 << 16


def merged(tables: Iterable[Any]) -> Iterator[Any]:
    """The same rows in fewer tables. One that is empty comes only where all are."""
    import pyarrow

    waiting: list[Any] = []
    empty, given = None, False
    for table in tables:
        if len(table):
            waiting.append(table)
        else:
            empty = table
        if sum(map(len, waiting)) >= _GROUP:
            yield pyarrow.concat_tables(waiting).unify_dictionaries().combine_chunks()
            waiting, given = [], True
    if waiting:
        yield pyarrow.concat_tables(waiting).unify_dictionaries().combine_chunks()
    elif empty is not None and not given:
        yield empty


def write_table(tables: Iterable[Any], file: BinaryIO, suffix: str) -> None:
    """Write tables of one schema, one at least, in the format that a suffix names."""
    {".parquet": _parquet, ".csv": _csv, ".jsonl": _json_lines}[suffix](iter(tables), file)


def _parquet(tables: Iterator[Any], file: BinaryIO) -> None:
    import pyarrow.parquet

    first = next(tables)
    with pyarrow.parquet.ParquetWriter(file, first.schema) as writer:
        for table in itertools.chain([first], tables):
            writer.write_table(table, row_group_size=max(1, len(table)))


def _csv(tables: Iterator[Any], file: BinaryIO) -> None:
    import pyarrow.csv

    first = _plain(next(tables))
    with pyarrow.csv.CSVWriter(file, first.schema) as writer:
        for table in itertools.chain([first], tables):
            writer.write_table(_plain(table))


def _json_lines(tables: Iterator[Any], file: BinaryIO) -> None:
    for table in tables:
        names = [json.dumps(name).replace("%", "%%") for name in table.column_names]
        line = "{" + ", ".join(f"{name}: %s" for name in names) + "}\n"
        for batch in table.to_batches(_GROUP):
            columns = [_in_json(column) for column in batch.columns]
            file.write("".join(line % row for row in zip(*columns, strict=True)).encode())


def _in_json(column: Any) -> list[Any]:
    """The cells of a column without nulls, each text as JSON; numbers are written as they are."""
    import pyarrow

    if not pyarrow.types.is_dictionary(column.type):
        numbers: list[Any] = column.to_numpy().tolist()
        return numbers
    texts = [json.dumps(text, ensure_ascii=False) for text in column.dictionary.to_pylist()]
    return [texts[place] for place in column.indices.to_numpy().tolist()]


def _plain(table: Any) -> Any:
    """With texts in place of dictionaries of them."""
    import pyarrow

    types = pyarrow.types
    fields = [
        field.with_type(field.type.value_type) if types.is_dictionary(field.type) else field for field in table.schema
    ]
    return table.cast(pyarrow.schema(fields))
