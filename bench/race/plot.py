"""A race as a picture: time of a batch against its size, a panel for each table and k, a line per contender."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from mmkg_sdk.files.atomic import write_atomically

from .peers import RANKERS
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
_MARKERS = "osD^vPX<>*hp"
_CEILING = "ceiling, float32"
_MOST_COLUMNS = 4


def race_lines(result: dict[str, Any]) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """Panel -> contender -> (batch, milliseconds), of what was measured; the panels of one k follow each other."""
    panels: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for row in sorted(result["rows"], key=lambda row: int(row["point"].get("k", 0))):
        if row["ms_p50"] is not None:
            lines = panels.setdefault(_panel(row["point"]), {})
            lines.setdefault(row["contender"], []).append((row["point"]["batch"], row["ms_p50"]))
    return {panel: {name: sorted(line) for name, line in lines.items()} for panel, lines in panels.items()}


def ceiling_line(result: dict[str, Any], panel: str) -> list[tuple[int, float]]:
    """(batch, milliseconds) that the machine's float32 ceilings leave for the first contender's work."""
    rows = [row for row in result["rows"] if row["ms_p50"] is not None and _panel(row["point"]) == panel]
    found = {row["point"]["batch"]: row["ceiling_ms"] for row in rows if _is_plain(row) and row["ceiling_ms"]}
    return sorted(found.items())


def is_own(name: str) -> bool:
    """Whether it is one of ours, which are drawn in full; peers are dashed."""
    return name.startswith("compiled kernel")


def colour(name: str) -> str:
    """The colour that a contender has in every race; grey for one of another version."""
    for package, shades in _SHADES.items():
        for table in (RANKERS, TUCKER_WAYS):
            ways = [way for way in table if way.startswith(package)]
            if name in ways:
                return shades[ways.index(name) % len(shades)]
    return "#777777"


def draw_race(result: dict[str, Any], path: Path) -> None:
    """Write the picture, unless nothing was measured."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    panels = race_lines(result)
    if not panels:
        return
    # A line of panels for each k.
    columns = min(_MOST_COLUMNS, len({_panel(row["point"] | {"k": 0}) for row in result["rows"]}))
    lines = -(-len(panels) // columns)
    figure = Figure(figsize=(3.0 + 3.8 * columns, 0.5 + 3.6 * max(lines, 1.2)), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    drawn: dict[str, Any] = {}
    for axes, (panel, contenders) in zip(grid, panels.items(), strict=False):
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        for name, points in contenders.items():
            style = {"linewidth": 2.0} if is_own(name) else {"linewidth": 1.1, "linestyle": "--"}
            marker = _MARKERS[_NAMES.index(name) % len(_MARKERS)] if name in _NAMES else "."
            line = {"color": colour(name), "marker": marker, "markersize": 4.5, **style}
            (drawn[name],) = axes.plot(*zip(*points, strict=True), **line)
        if limit := ceiling_line(result, panel):
            (drawn[_CEILING],) = axes.plot(*zip(*limit, strict=True), color="0.25", linestyle=":")
        batches = sorted({batch for points in contenders.values() for batch, _ in points})
        axes.set_xticks(batches)
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0,)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.10g}"))
        axes.set_title(panel, fontsize=10)
        axes.set_xlabel("batch")
        axes.set_ylabel("ms per batch")
        axes.grid(which="major", color="0.9", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    names = [name for name in (*_NAMES, _CEILING) if name in drawn]
    figure.legend([drawn[name] for name in names], names, loc="outside right upper", frameon=False, fontsize=9)
    environment = result["environment"]
    conditions = (
        f"{environment['cpu']}, {result['settings']['threads']} of {environment['usable_cores']} cores; medians"
    )
    figure.suptitle(conditions, fontsize=9, x=0.01, ha="left")
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=150)
    write_atomically(path, image.getvalue())


def _panel(point: dict[str, Any]) -> str:
    if "rows" not in point:
        return f"Tucker product, width {point['width']}"
    return f"{point['rows']:,} x {point['width']}, {point['score']}, k={point['k']}"


def _is_plain(row: dict[str, Any]) -> bool:
    """Whether it reads float32 and multiplies it, so that its ceiling is that of the work as asked."""
    table = TUCKER_WAYS if "rows" not in row["point"] else RANKERS
    way = table.get(row["contender"])
    return way is not None and way.number_bytes == 4 and way.arithmetic == "float32"
