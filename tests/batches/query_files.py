"""Files of queries in each format, and what is read back of files of answers."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

SUFFIXES = (".parquet", ".csv", ".jsonl")


def write_queries(path: Path, columns: Mapping[str, Sequence[Any]], **settings: Any) -> Path:
    """Columns as a file of the format that its suffix names."""
    rows = list(zip(*columns.values(), strict=True))
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.table(dict(columns)), path, **settings)
    elif path.suffix == ".csv":
        with open(path, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([columns, *rows])
    else:
        path.write_text("".join(json.dumps(dict(zip(columns, row, strict=True))) + "\n" for row in rows))
    return path


def read_answers(path: Path) -> list[dict[str, Any]]:
    """The rows of a file of answers; of CSV with numbers where there are some, scores in float32."""
    if path.suffix == ".parquet":
        rows: list[dict[str, Any]] = pyarrow.parquet.read_table(path).to_pylist()
        return rows
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    with open(path, newline="", encoding="utf-8") as file:
        return [{name: _number(name, cell) for name, cell in row.items()} for row in csv.DictReader(file)]


def _number(name: str, cell: str) -> Any:
    if "score" in name:
        return pyarrow.scalar(float(cell), pyarrow.float32()).as_py()
    return int(cell) if name in ("number", "rank", "id") or name.endswith(("_start", "_end")) else cell


def bad_rows(path: Path) -> list[tuple[int, str]]:
    """Number and reason of every bad row of a file of answers."""
    lines = Path(f"{path}.bad.jsonl").read_text().splitlines()
    return [(row["row"], row["reason"]) for row in map(json.loads, lines)]
