"""metrics.jsonl: one JSON object per epoch, appended as training goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..files.atomic import append_line, write_atomically


def append_metrics(path: Path, row: dict[str, Any]) -> None:
    """Add one line; a kill or a full disk leaves a whole line or none.

    Raises:
        DataError: the disk does not take it.
    """
    append_line(path, json.dumps(row, allow_nan=False).encode("utf-8"))


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All rows, oldest first; none if there is no file yet.

    Raises:
        DataError: with the line that is not a JSON object.
    """
    if not path.is_file():
        return []
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            row = json.loads(line)
        except ValueError as err:
            raise DataError(f"{path}:{number}: not a JSON object; a line per epoch was expected.") from err
        if not isinstance(row, dict):
            raise DataError(f"{path}:{number}: found {line[:40]!r}; expected a JSON object.")
        rows.append(row)
    return rows


def truncate_metrics(path: Path, epoch: int) -> None:
    """Drop what comes after the first `epoch` epochs: the lines of epochs that will be trained again."""
    lines = path.read_bytes().split(b"\n")[:epoch] if path.is_file() else []
    write_atomically(path, b"".join(line + b"\n" for line in lines if line))
