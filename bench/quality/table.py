"""A QualityReport as tables."""

from __future__ import annotations

from collections.abc import Sequence

from ..changes.conditions import PARTS, Part
from ..report.table import Table
from .frontier import RULE
from .results import QualityReport, Row

_SHOWN = {"mrr": "MRR", "f1": "F1", "micro_f1": "micro F1", "accuracy": "accuracy"}
_INTERVAL = (
    "Change: beside the bundle as it is, with a 95 % interval by a paired bootstrap over the {count:,} {items}; in "
    "brackets where it reaches 0. What another training would show, it does not tell."
)
_ANEW = (
    "* Beside the same pictures, seen anew: training moved the features that the bundle has of its pictures, and the "
    "change from moved to new features is that row's."
)
_SEEDS = "Seeds: the lowest and the highest of {seeds} draws; the metric is their mean."


def quality_table(report: QualityReport) -> str:
    """Everything for a terminal."""
    tables = [str(table) for part in PARTS if not (table := part_table(report, part)).is_empty]
    return "\n\n".join(filter(None, [quality_head(report), "\n".join(report.remarks()), *tables]))


def quality_head(report: QualityReport) -> str:
    """The metric of the bundle as it is."""
    value, low, high = (report.baseline[name] for name in ("value", "low", "high"))
    return (
        f"{report.bundle['name']}: {metric_name(report)} x 100 of {report.count:,} {report.items} "
        f"({report.settings['split']}) is {_number(value)} ({_number(low)} to {_number(high)})"
    )


def part_table(report: QualityReport, part: Part) -> Table:
    """Of the rows of a part; empty where there are none."""
    if part == "frontier":
        return _frontier(report)
    return _changes(report, part, "Pictures" if part == "pictures" else "Robustness")


def metric_name(report: QualityReport) -> str:
    """As people write it."""
    return _SHOWN.get(report.metric, report.metric)


def _frontier(report: QualityReport) -> Table:
    header = ["setting", metric_name(report), "change", "95 % interval", f"{report.unit} per second", ""]
    cells = [header]
    for row in sorted(report.of_part("frontier"), key=lambda row: -(row.per_second or 0)):
        rate = "-" if row.per_second is None else f"{row.per_second:,.0f}"
        mark = "recommended" if row.recommended else "frontier" if row.frontier else ""
        cells.append([row.level, _number(row.value), *_change(row), rate, mark])
    notes = (RULE, _INTERVAL.format(count=report.count, items=report.items))
    return Table("Frontier: quality against throughput, without training again", cells, notes)


def _changes(report: QualityReport, part: Part, title: str) -> Table:
    cells = [["what", "how much", metric_name(report), "change", "95 % interval", "seeds"]]
    before = ""
    for row in report.of_part(part):
        name, before = ("" if row.change == before else row.change), row.change
        seeds = f"{_number(min(row.by_seed))} to {_number(max(row.by_seed))}" if len(row.by_seed) > 1 else ""
        change, words = _change(row)
        star = "*" if row.beside_anew else ""
        cells.append([name, row.level, _number(row.value), change + star, words, seeds])
    drawn = len(report.settings["seeds"])
    notes = [_INTERVAL.format(count=report.count, items=report.items)]
    if any(cell[-1] for cell in cells[1:]):
        notes.append(_SEEDS.format(seeds=drawn))
    if any(row.beside_anew for row in report.of_part(part)):
        notes.append(_ANEW)
    return Table(title, cells, tuple(notes))


def _change(row: Row) -> Sequence[str]:
    words = f"{100 * row.low:+.2f} to {100 * row.high:+.2f}"
    return f"{100 * row.difference:+.2f}", words if row.is_certain else f"({words})"


def _number(value: float) -> str:
    return f"{100 * value:.2f}"
