"""The file that a study writes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmkg_sdk.files.atomic import write_atomically


def write_study(result: Mapping[str, Any], out: str | Path) -> None:
    """Write what was found as JSON."""
    write_atomically(Path(out), (json.dumps(result, indent=1) + "\n").encode())
