"""Record: the rows of one step, in a file that is whole after each."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from mmkg_sdk.files.atomic import write_atomically

Row = dict[str, Any]


class Record:
    """Writes NAME.json: what the step is, its conditions, its rows, and whether it came to its end.

    Args:
        file: the file.
        conditions: what all rows have in common.
    """

    def __init__(self, file: Path, conditions: Row) -> None:
        self._file = file
        self._found: Row = {**conditions, "complete": False, "rows": []}
        self._write()

    def add(self, **row: Any) -> None:
        """One more row, on disk when this returns."""
        self._found["rows"].append(row)
        self._write()
        print(json.dumps(_plain(row)), flush=True)

    def finish(self) -> None:
        """The step is done."""
        self._found["complete"] = True
        self._write()

    def _write(self) -> None:
        text = json.dumps(_plain(self._found), indent=1, allow_nan=False) + "\n"
        write_atomically(self._file, text.encode())


def _plain(value: Any) -> Any:
    """What JSON has: numbers that are none become words."""
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
