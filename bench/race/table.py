"""A race as text."""

from __future__ import annotations

from typing import Any

from ..machine.ceilings import Ceilings
from ..report.tables import aligned
from .run import point_name

_HEAD = ["", "ms", "to the first", "GFLOP/s", "GB/s", "of the ceiling", "bound", "right ids", "score error"]

RIGHTNESS = (
    "right ids: of the first queries, the share that is among the exact answers by float64; score error: the largest "
    "difference from the exact score at that place, of Tucker products as a share of their root mean square"
)


def race_table(result: dict[str, Any]) -> str:
    """The rows for people: milliseconds, how often the first contender is as fast, and what the machine could do."""
    sections = [section(point_name(rows[0]["point"]), race_cells(rows)) for rows in by_point(result)]
    notes = race_remarks(result)
    return "\n\n".join([*sections, RIGHTNESS, Ceilings.from_json(result["ceilings"]).words(), *notes])


def by_point(result: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """The rows of each point, in order."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in result["rows"]:
        found.setdefault(point_name(row["point"]), []).append(row)
    return list(found.values())


def race_cells(rows: list[dict[str, Any]]) -> list[list[str]]:
    """Those of one point: a header, then a line for each contender that was measured.

    What contenders said of themselves (`Found.details`) has columns of its own.
    """
    own, told = rows[0]["ms_p50"], list(dict.fromkeys(name for row in rows for name in row.get("details") or ()))
    cells = [[*_HEAD, *(name.replace("_", " ") for name in told)]]
    for row in rows:
        if row["ms_p50"] is None:
            continue
        ratio = f"{row['ms_p50'] / own:.2f}x" if own else "-"
        percent = "-" if row["percent_of_ceiling"] is None else f"{row['percent_of_ceiling']:.0f} %"
        agreement = "-" if row["agreement"] is None else f"{100 * row['agreement']:.4g} %"
        rates = [f"{row['ms_p50']:,.3f}", ratio, f"{row['gflop_per_second']:,.0f}", f"{row['gb_per_second']:,.1f}"]
        rightness = [agreement, f"{row['max_score_error']:.1e}"]
        details = [f"{row['details'][name]:,.4g}" if name in row["details"] else "-" for name in told]
        cells.append([row["contender"], *rates, percent, row["bound"] or "-", *rightness, *details])
    return cells


def race_remarks(result: dict[str, Any]) -> list[str]:
    """What a reader must know beside the numbers."""
    absent: dict[str, list[str]] = {}
    for row in result["rows"]:
        if row["ms_p50"] is None:
            absent.setdefault(f"{row['contender']}: {row['status']}: {row['note']}", []).append(
                point_name(row["point"])
            )
    points = len(by_point(result))
    found = [note if len(where) == points else f"{note} ({'; '.join(where)})" for note, where in absent.items()]
    environment = result["environment"]
    if environment.get("loaded_machine"):
        found.append(
            f"Other work took about {environment['other_load']} cores meanwhile: compare these numbers with each other "
            "only."
        )
    if not result["complete"]:
        found.append("The race did not finish.")
    return found


def section(title: str, cells: list[list[str]]) -> str:
    return f"{title}\n{aligned(cells)}" if len(cells) > 1 else f"{title}\nnothing was measured"
