"""Plots as a PNG, side by side."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmkg_sdk.errors import missing_package
from mmkg_sdk.files.atomic import write_atomically

from .plots import Line, Plot

_MARKS = "osD^vPX<>*hp"
_STYLES = {"solid": "-", "dash": "--", "dot": ":", "dashdot": "-."}


def check_plotting() -> None:
    """Raises BackendError if matplotlib or plotly is not installed; so before minutes of measuring, not after."""
    for package in ("matplotlib", "plotly"):
        if importlib.util.find_spec(package) is None:
            raise missing_package(package, "all", "drawing the results")


def draw_plots(plots: Sequence[Plot], caption: str, path: Path, columns: int = 4) -> None:
    """Write the PNG, unless there is nothing to draw; bands run from the lowest to the highest of a spread.

    Args:
        caption: a line above: the conditions.
        columns: plots in a row at the most.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if not plots:
        return
    columns = min(columns, len(plots))
    rows = -(-len(plots) // columns)
    figure = Figure(figsize=(3.0 + 3.8 * columns, 0.5 + 3.6 * max(rows, 1.2)), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid[len(plots) :]:
        axes.set_visible(False)
    drawn: dict[str, Any] = {}
    for axes, plot in zip(grid, plots, strict=False):
        _prepare(axes, plot)
        for line in plot.lines:
            drawn[line.name] = _draw(axes, line)
    # What has no marks, the ceilings, comes last.
    names = sorted(drawn, key=lambda name: drawn[name].get_marker() == "None")
    if names:
        figure.legend([drawn[name] for name in names], names, loc="outside right upper", frameon=False, fontsize=9)
    figure.suptitle(caption, fontsize=9, x=0.01, ha="left")
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=150)
    write_atomically(path, image.getvalue())


def _draw(axes: Any, line: Line) -> Any:
    marker = "None" if line.mark is None else _MARKS[line.mark % len(_MARKS)]
    style = {"linestyle": _STYLES[line.dash] if line.joined else "None", "linewidth": 1.8 if line.bold else 1.1}
    (found,) = axes.plot(*zip(*line.points, strict=True), color=line.colour, marker=marker, markersize=4.5, **style)
    if line.spread:
        counts = [x for x, _ in line.points]
        axes.fill_between(counts, *zip(*line.spread, strict=True), color=line.colour, alpha=0.15, linewidth=0)
    return found


def _prepare(axes: Any, plot: Plot) -> None:
    from matplotlib.ticker import FixedLocator, MaxNLocator, StrMethodFormatter

    if plot.logarithmic:
        _logarithmic(axes, plot)
    else:
        axes.xaxis.set_major_locator(FixedLocator(plot.ticks) if plot.ticks else MaxNLocator(4))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.10g}"))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.10g}"))
    axes.set_title(plot.title, fontsize=10)
    axes.set_xlabel(plot.x)
    axes.set_ylabel(plot.y)
    axes.grid(which="major", color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _logarithmic(axes: Any, plot: Plot) -> None:
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks([float(tick) for tick in plot.ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    values = [y for line in plot.lines for _, y in line.points]
    # A short axis would have a tick or none at powers of ten alone.
    between = (1.0,) if values and max(values) > 100 * min(values) else (1.0, 2.0, 5.0)
    axes.yaxis.set_major_locator(LogLocator(subs=between))
    axes.yaxis.set_minor_locator(NullLocator())
