"""How a race is shown: plots of a batch's time against its size, one for each table and k, and the page with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..machine.ceilings import Ceilings
from ..report.page import Page, Section, conditions, how_long
from ..report.plots import CEILING_COLOUR, Line, Plot
from ..report.png import draw_plots
from .peers import RANKERS
from .table import RIGHTNESS, point_tables, race_remarks
from .tucker import TUCKER_WAYS

# Every contender has one colour and mark in every race: a hue for each package, a shade for each of its ways.
_SHADES = {
    "compiled kernel": ("#0072B2", "#56B4E9", "#003A6B"),
    "ONNX Runtime": ("#D55E00", "#F4A261"),
    "torch": ("#009E73",),
    "numpy": ("#E69F00",),
    "faiss": ("#6A3D9A", "#9A6FC8", "#C6A8E0"),
    "usearch": ("#7A4B1E", "#B98A56"),
    "numkong": ("#C2185B", "#F06AA0"),
}
_NAMES = list(dict.fromkeys([*RANKERS, *TUCKER_WAYS]))
_MOST_COLUMNS = 4

Points = list[tuple[float, float]]


def race_page(result: dict[str, Any]) -> Page:
    """Every plot and number on one page."""
    legend = "Medians. Dotted: what the machine's float32 ceilings leave for this work."
    sections = [Section(plot=plot, legend=legend, title=plot.title) for plot in race_plots(result)]
    sections += [Section(table) for table in point_tables(result)]
    found = conditions(
        _machine(result), how_long(result["settings"]), Ceilings.from_json(result["ceilings"]), result["environment"]
    )
    return Page("mmkg-sdk bench race", race_remarks(result), found, sections, RIGHTNESS)


def draw_race(result: dict[str, Any], path: Path) -> None:
    """Write the PNG, unless nothing was measured: a row of plots for each k."""
    tables = {_panel(row["point"] | {"k": 0}) for row in result["rows"]}
    draw_plots(race_plots(result), f"{_machine(result)}; medians", path, max(1, min(_MOST_COLUMNS, len(tables))))


def race_plots(result: dict[str, Any]) -> list[Plot]:
    """Milliseconds of what was measured against batch, and the ceiling; the plots of one k follow each other."""
    panels: dict[str, dict[str, Points]] = {}
    for row in sorted(result["rows"], key=lambda row: int(row["point"].get("k", 0))):
        if row["ms_p50"] is not None:
            lines = panels.setdefault(_panel(row["point"]), {})
            lines.setdefault(row["contender"], []).append((row["point"]["batch"], row["ms_p50"]))
    return [_plot(panel, lines, _ceiling(result, panel)) for panel, lines in panels.items()]


def colour(name: str) -> str:
    """The colour that a contender has in every race; grey for one of another version."""
    for package, shades in _SHADES.items():
        for table in (RANKERS, TUCKER_WAYS):
            ways = [way for way in table if way.startswith(package)]
            if name in ways:
                return shades[ways.index(name) % len(shades)]
    return "#777777"


def _plot(panel: str, contenders: dict[str, Points], ceiling: Points) -> Plot:
    lines = []
    for name, points in contenders.items():
        # Ours are drawn in full, peers dashed.
        own, mark = name.startswith("compiled kernel"), _NAMES.index(name) if name in _NAMES else len(_NAMES)
        lines.append(Line(name, sorted(points), colour(name), mark, "solid" if own else "dash", bold=own))
    if ceiling:
        lines.append(Line("ceiling, float32", ceiling, CEILING_COLOUR, dash="dot", bold=False))
    batches = sorted({batch for points in contenders.values() for batch, _ in points})
    return Plot(panel, "batch", "ms per batch", lines, batches, "%{y:,.4g} ms at batch %{x}")


def _ceiling(result: dict[str, Any], panel: str) -> Points:
    """What the machine's float32 ceilings leave for the work as asked."""
    rows = [row for row in result["rows"] if row["ms_p50"] is not None and _panel(row["point"]) == panel]
    return sorted(
        {row["point"]["batch"]: row["ceiling_ms"] for row in rows if _is_plain(row) and row["ceiling_ms"]}.items()
    )


def _machine(result: dict[str, Any]) -> str:
    found = result["environment"]
    return f"{found['cpu']}, {result['settings']['threads']} of {found['usable_cores']} cores"


def _panel(point: dict[str, Any]) -> str:
    if "rows" not in point:
        return f"Tucker product, width {point['width']}"
    return f"{point['rows']:,} x {point['width']}, {point['score']}, k={point['k']}"


def _is_plain(row: dict[str, Any]) -> bool:
    """Whether it reads float32 and multiplies it, so that its ceiling is that of the work as asked."""
    table = TUCKER_WAYS if "rows" not in row["point"] else RANKERS
    way = table.get(row["contender"])
    return way is not None and way.number_bytes == 4 and way.arithmetic == "float32"
