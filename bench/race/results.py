"""The file of a race: read, written, and its points in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mmkg_sdk.errors import DataError
from mmkg_sdk.files.atomic import write_atomically

from ..machine.ceilings import Ceilings

FORMAT_VERSION = 1


def read_race(path: str | Path) -> dict[str, Any]:
    """A race from its file.

    Raises:
        DataError: it cannot be read, or is none of this format.
    """
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
        if found["format_version"] != FORMAT_VERSION:
            raise ValueError(f"format version {found['format_version']!r:.20}, this mmkg_sdk reads {FORMAT_VERSION}")
        Ceilings.from_json(found["ceilings"])
        if not all({"point", "contender", "status", "ms_p50", "note"} <= set(row) for row in found["rows"]):
            raise ValueError("a row is not complete")
    except (OSError, KeyError, TypeError, ValueError) as err:
        raise DataError(
            f"{path} is no result of `mmkg-sdk bench race` ({type(err).__name__}: {err}). Race again."
        ) from err
    result: dict[str, Any] = found
    return result


def write_race(result: dict[str, Any], path: Path) -> None:
    """Write the file, and its folder where there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, (json.dumps(result, indent=1, allow_nan=False) + "\n").encode())


def point_name(point: dict[str, Any]) -> str:
    """In words."""
    if "rows" not in point:
        return f"Tucker product, width {point['width']}, batch {point['batch']:,}"
    return f"{point['score']}, {point['rows']:,} x {point['width']}, batch {point['batch']:,}, k={point['k']}"


def by_point(result: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """The rows of each point, in order."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in result["rows"]:
        found.setdefault(point_name(row["point"]), []).append(row)
    return list(found.values())
