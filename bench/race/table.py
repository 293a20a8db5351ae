"""A race as tables, and what a reader must know beside them."""

from __future__ import annotations

from typing import Any

from ..machine.ceilings import Ceilings
from ..machine.conditions import load_remark
from ..report.table import Table, percent
from .results import by_point, point_name

_HEAD = ["", "ms", "to the first", "GFLOP/s", "GB/s", "of the ceiling", "bound", "right ids", "score error"]

RIGHTNESS = (
    "right ids: of the first queries, the share that is among the exact answers by float64; score error: the largest "
    "difference from the exact score at that place, of Tucker products as a share of their root mean square"
)


def race_table(result: dict[str, Any]) -> str:
    """The rows for people: milliseconds, how often the first contender is as fast, and what the machine could do."""
    words = [RIGHTNESS, Ceilings.from_json(result["ceilings"]).words()]
    return "\n\n".join([*map(str, point_tables(result)), *words, *race_remarks(result)])


def point_tables(result: dict[str, Any]) -> list[Table]:
    """One for each point: a line for each contender that was measured.

    What contenders said of themselves (`Found.details`) has columns of its own.
    """
    return [_table(rows) for rows in by_point(result)]


def _table(rows: list[dict[str, Any]]) -> Table:
    own, told = rows[0]["ms_p50"], list(dict.fromkeys(name for row in rows for name in row.get("details") or ()))
    cells = [[*_HEAD, *(name.replace("_", " ") for name in told)]]
    for row in rows:
        if row["ms_p50"] is None:
            continue
        ratio = f"{row['ms_p50'] / own:.2f}x" if own else "-"
        agreement = "-" if row["agreement"] is None else f"{100 * row['agreement']:.4g} %"
        rates = [f"{row['ms_p50']:,.3f}", ratio, f"{row['gflop_per_second']:,.0f}", f"{row['gb_per_second']:,.1f}"]
        ceiling = [percent(row["percent_of_ceiling"]), row["bound"] or "-"]
        rightness = [agreement, f"{row['max_score_error']:.1e}"]
        details = [f"{row['details'][name]:,.4g}" if name in row["details"] else "-" for name in told]
        cells.append([row["contender"], *rates, *ceiling, *rightness, *details])
    return Table(point_name(rows[0]["point"]), cells)


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
    found += load_remark(result["environment"])
    if not result["complete"]:
        found.append("The race did not finish.")
    return found
