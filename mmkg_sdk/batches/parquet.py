"""Queries in Parquet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..files.regular import LIMIT, most_bytes
from .arrow import check_schema, rows_of
from .queries import Column, Rows

# Read at a time of each column of a row group.
_BUFFER_BYTES = 1 << 20


@dataclass(frozen=True)
class ParquetQueries:
    """See `QueryFile`. Small row groups are read together, large ones in pieces."""

    path: Path
    columns: tuple[Column, ...]
    names: list[str]
    file: Any

    @classmethod
    def open(cls, path: Path, columns: tuple[Column, ...]) -> ParquetQueries:
        import pyarrow
        import pyarrow.parquet

        try:
            metadata = pyarrow.parquet.read_metadata(path)
            plain = {metadata.schema.column(number).path for number in range(metadata.num_columns)}
            texts = [column.name for column in columns if column.name in plain]
            # A text is kept once for all of its cells: a small file of one long text would fill the memory otherwise.
            file = pyarrow.parquet.ParquetFile(
                path,
                metadata=metadata,
                read_dictionary=texts,
                buffer_size=_BUFFER_BYTES,
                pre_buffer=False,
                memory_map=False,
            )
        except (pyarrow.ArrowException, OSError) as err:
            raise _unreadable(path, err) from err
        found = file.schema_arrow
        check_schema(path, found, columns)
        names = [column.name for column in columns if column.name in found.names]
        _check_sizes(path, file.metadata, names)
        return cls(path, columns, names, file)

    @property
    def total(self) -> int | None:
        return int(self.file.metadata.num_rows)

    def rows(self, most: int, skip: int) -> Iterator[Rows]:
        import pyarrow

        counts = [self.file.metadata.row_group(group).num_rows for group in range(self.file.num_row_groups)]
        first = 0
        try:
            for groups in _together(counts, most):
                count = sum(counts[group] for group in groups)
                if first + count <= skip:
                    first += count
                    continue
                for batch in self._batches(groups, most):
                    rows = rows_of(batch, self.columns, first)
                    first += rows.count
                    if first > skip:
                        yield rows.part(max(0, skip - rows.first))
        except (pyarrow.ArrowException, OSError) as err:
            raise _unreadable(self.path, err) from err

    def _batches(self, groups: list[int], most: int) -> Iterator[Any]:
        import pyarrow

        batches = self.file.iter_batches(most, row_groups=groups, columns=self.names)
        if len(groups) == 1:
            yield from batches
            return
        table = pyarrow.Table.from_batches(list(batches)).unify_dictionaries().combine_chunks()
        yield from table.to_batches()


def _together(counts: list[int], most: int) -> Iterator[list[int]]:
    """The row groups that are read together: one, or several of not more than so many rows."""
    waiting: list[int] = []
    rows = 0
    for group, count in enumerate(counts):
        if waiting and rows + count > most:
            yield waiting
            waiting, rows = [], 0
        waiting.append(group)
        rows += count
    if waiting:
        yield waiting


def _check_sizes(path: Path, metadata: Any, names: list[str]) -> None:
    """Refuse what would fill the memory, by what the file says of itself."""
    for group in range(metadata.num_row_groups):
        columns = metadata.row_group(group)
        for number in range(columns.num_columns):
            column = columns.column(number)
            size = column.total_uncompressed_size
            if column.path_in_schema.split(".")[0] in names and size > most_bytes():
                raise DataError(
                    f"{path}: column {column.path_in_schema!r} of row group {group} has {size:,} bytes, which could "
                    f"fill the memory. Write smaller row groups, or allow it: {LIMIT}={size}"
                )


def _unreadable(path: Path, err: Exception) -> DataError:
    reason = " ".join(str(err).split())
    return DataError(f"{path} cannot be read as Parquet: {reason:.200}. The copy may be incomplete; write it again.")
