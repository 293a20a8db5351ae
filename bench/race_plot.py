"""A race as a picture: time of a batch against its size, a panel for each table and k, a line per contender."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from mmkg_sdk.files import write_atomically

from .peers import RANKERS
from .plot import COLOURS
from .tucker import TUCKER_WAYS

# Every contender has one colour and mark in every race; kernels are drawn in full, peers dashed.
_NAMES = list(dict.fromkeys([*RANKERS, *TUCKER_WAYS]))
_OWN = "compiled kernel"
_MARKERS = "osD^vPX<>*hp"
MOST_COLUMNS = 3


def race_lines(result: dict[str, Any]) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """Panel -> contender -> (batch, milliseconds), of what was measured."""
    panels: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for row in result["rows"]:
        if row["ms_p50"] is not None:
            lines = panels.setdefault(_panel(row["point"]), {})
            lines.setdefault(row["contender"], []).append((row["point"]["batch"], row["ms_p50"]))
    return {panel: {name: sorted(line) for name, line in lines.items()} for panel, lines in panels.items()}


def ceiling_line(result: dict[str, Any], panel: str) -> list[tuple[int, float]]:
    """(batch, milliseconds) that the machine's float32 ceilings leave for the first contender's work."""
    rows = [row for row in result["rows"] if row["ms_p50"] is not None and _panel(row["point"]) == panel]
    found = {row["point"]["batch"]: row["ceiling_ms"] for row in rows if _is_plain(row) and row["ceiling_ms"]}
    return sorted(found.items())


def colour(name: str) -> str:
    """The colour that a contender has in every race; grey for one of another version."""
    place = _NAMES.index(name) if name in _NAMES else -1
    return COLOURS[place % len(COLOURS)] if place >= 0 else "#777777"


def draw_race(result: dict[str, Any], path: Path) -> None:
    """Write the picture, unless nothing was measured."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    panels = race_lines(result)
    if not panels:
        return
    columns = min(MOST_COLUMNS, len(panels))
    lines = -(-len(panels) // columns)
    figure = Figure(figsize=(1.5 + 3.9 * columns, 1.6 + 3.5 * lines), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    drawn: dict[str, Any] = {}
    for axes, (panel, contenders) in zip(grid, panels.items(), strict=False):
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        for name, points in contenders.items():
            style = {"linewidth": 2.0} if name.startswith(_OWN) else {"linewidth": 1.1, "linestyle": "--"}
            marker = _MARKERS[_NAMES.index(name) % len(_MARKERS)] if name in _NAMES else "."
            line = {"color": colour(name), "marker": marker, "markersize": 4.5, **style}
            (drawn[name],) = axes.plot(*zip(*points, strict=True), **line)
        if limit := ceiling_line(result, panel):
            (drawn["ceiling, float32"],) = axes.plot(*zip(*limit, strict=True), color="0.25", linestyle=":")
        batches = sorted({batch for points in contenders.values() for batch, _ in points})
        axes.set_xticks(batches)
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0,)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
        axes.set_title(panel, fontsize=10)
        axes.set_xlabel("batch")
        axes.set_ylabel("ms per batch")
        axes.grid(which="major", color="0.9", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(drawn.values(), drawn.keys(), loc="outside lower center", ncols=columns, frameon=False, fontsize=9)
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
