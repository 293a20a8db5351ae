"""The file that a study writes at its end, and whether it can be written, which is asked at its beginning."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmkg_sdk.errors import DataError
from mmkg_sdk.files.atomic import write_atomically


def check_out(out: str | Path) -> None:
    """Raise DataError where no file can be made, before a study works for minutes."""
    folder = Path(out).parent
    if not folder.is_dir():
        raise DataError(f"{out} cannot be written: {folder} is no folder. Make it, or write elsewhere.")


def write_study(result: Mapping[str, Any], out: str | Path) -> None:
    """Write what was found as JSON."""
    write_atomically(Path(out), (json.dumps(result, indent=1) + "\n").encode())
