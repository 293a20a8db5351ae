"""How a QualityReport is shown: its plots, and its page report.html."""

from __future__ import annotations

from collections.abc import Sequence

from ..changes.conditions import PARTS, Part
from ..report.page import Page, Section, conditions
from ..report.plots import COLOURS, Line, Plot
from .results import QualityReport, Row
from .table import metric_name, part_table, quality_head

_BARS = "Bars: the 95 % interval by the paired bootstrap; of the mean over seeds where there are several."
_LEGENDS: dict[Part, str] = {
    "frontier": "Each mark is a setting. The line joins those that no other beats in both.",
    "pictures": _BARS,
    "robustness": _BARS,
}
_HOVER = "%{text}: %{y:.2f} at %{x:,.0f}"


def quality_page(report: QualityReport) -> Page:
    """Every plot and number on one page."""
    settings, sections = report.settings, []
    for part in PARTS:
        sections += [Section(plot=plot, legend=_LEGENDS[part], title=plot.title) for plot in part_plots(report, part)]
        sections.append(Section(part_table(report, part)))
    seeds = ", ".join(map(str, settings["seeds"]))
    how = (
        f"{settings['resamples']:,} resamples; seeds {seeds}; {settings['seconds']:g} s of the encoder at each setting"
    )
    found = conditions(quality_head(report), how, None, report.environment)
    return Page(f"mmkg-sdk bench quality: {report.bundle['name']}", report.remarks(), found, sections)


def quality_plots(report: QualityReport) -> list[Plot]:
    """Those of all parts."""
    return [plot for part in PARTS for plot in part_plots(report, part)]


def part_plots(report: QualityReport, part: Part) -> list[Plot]:
    """Quality against throughput; the change against the number of pictures, or the share that is changed."""
    rows = report.of_part(part)
    if part == "frontier":
        return [_frontier(report, rows)] if rows else []
    if part == "pictures":
        key, title, axis, scale = "pictures", "Numbers of pictures", "pictures, at most", 1
    else:
        key, title, axis, scale = "share", "Less and other input", "% of those that have it", 100
    points: dict[str, list[Row]] = {}
    for row in rows:
        if key in row.settings:
            points.setdefault(row.change, []).append(row)
    lines = [_changes(name, own, key, scale, number) for number, (name, own) in enumerate(points.items())]
    change = f"change of {metric_name(report)} x 100"
    ticks = sorted({x for line in lines for x, _ in line.points})
    return [Plot(title, axis, change, lines, ticks, "%{y:.2f} at %{x}", logarithmic=False)] if lines else []


def _frontier(report: QualityReport, rows: Sequence[Row]) -> Plot:
    def line(name: str, chosen: Sequence[Row], number: int, *, joined: bool = False) -> Line:
        found = sorted(chosen, key=lambda row: row.per_second or 0)
        points = [(row.per_second or 0.0, 100 * row.value) for row in found]
        labels = [row.level for row in found]
        return Line(name, points, COLOURS[number], mark=number, joined=joined, labels=labels)

    lines = [
        line("other settings", [row for row in rows if not row.frontier], 5),
        line("frontier", [row for row in rows if row.frontier], 0, joined=True),
        line("recommended", [row for row in rows if row.recommended], 1),
    ]
    measured = [one for one in lines if one.points]
    name = metric_name(report)
    x = f"{report.unit} per second"
    return Plot("Quality against throughput", x, f"{name} x 100", measured, hover=_HOVER, logarithmic=False)


def _changes(name: str, rows: Sequence[Row], key: str, scale: int, number: int) -> Line:
    points = [(scale * row.settings[key], 100 * row.difference) for row in rows]
    spread = [(100 * row.low, 100 * row.high) for row in rows]
    return Line(name, points, COLOURS[number % len(COLOURS)], mark=number, spread=spread)
