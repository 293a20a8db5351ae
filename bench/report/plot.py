"""throughput.png: throughput against token count, a panel per curve and a line per contender."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path

from mmkg_sdk.errors import missing_package
from mmkg_sdk.files.atomic import write_atomically

from .results import BenchReport, Panel, known

# Distinct in shade as well as in hue (Okabe and Ito 2008, and a dark violet).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#4B0055")
_MARKERS = "osD^vPX"
_CEILING_STYLES = ("--", ":", "-.")
AXES = {
    "all": "tokens per entity, of all kinds together",
    "text": "text tokens",
    "visual": "visual tokens (patches and class token)",
}


def check_plotting() -> None:
    """Raises BackendError if matplotlib or plotly is not installed; so before minutes of measuring, not after."""
    for package in ("matplotlib", "plotly"):
        if importlib.util.find_spec(package) is None:
            raise missing_package(package, "all", "drawing the results")


def ceiling_lines(report: BenchReport, panel: Panel) -> dict[str, list[tuple[float, float]]]:
    """What the machine's ceilings allow by token count: label of a graph -> (token count, items per second)."""
    best: dict[str, dict[float, float]] = {}
    for row, rate in known((row for row in report.rows if row.panel == panel), "ceiling_per_second"):
        points = best.setdefault(row.graph or "", {})
        count = float(row.token_count or 0)
        points[count] = max(rate, points.get(count, 0.0))  # larger batches share the weights among more
    return {f"ceiling, {graph}": sorted(points.items()) for graph, points in best.items()}


def draw_throughput(report: BenchReport, path: Path) -> None:
    """Write the plot, unless no throughput was measured; bands run from the lowest to the highest sample."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    panels = report.panels()
    if not panels:
        return
    figure = Figure(figsize=(7, 4.5) if len(panels) == 1 else (5.2 * len(panels), 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    for panel, axes in zip(panels, figure.subplots(1, len(panels), squeeze=False)[0], strict=True):
        unit, tokens, batch = panel
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        for i, name in enumerate(report.contenders()):
            rows = report.curve(name, panel)
            if not rows:
                continue
            counts = [float(row.token_count or 0) for row in rows]
            colour = COLOURS[i % len(COLOURS)]
            rates, lowest, highest = (
                [float(row.numbers[f"per_second{suffix}"] or 0) for row in rows] for suffix in ("", "_min", "_max")
            )
            axes.plot(counts, rates, color=colour, marker=_MARKERS[i % len(_MARKERS)], markersize=4.5, label=name)
            axes.fill_between(counts, lowest, highest, color=colour, alpha=0.15, linewidth=0)
        for style, (name, points) in zip(_CEILING_STYLES, ceiling_lines(report, panel).items(), strict=False):
            axes.plot(*zip(*points, strict=True), color="0.35", linestyle=style, linewidth=1.2, label=name)
        axes.set_xticks([float(count) for count in report.settings["token_counts"][tokens]])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:.0f}"))
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.10g}"))
        axes.set_xlabel(AXES[tokens] + (f" (batches of {batch:,})" if batch else ""))
        axes.set_ylabel(f"{unit} per second")
        axes.grid(which="major", color="0.9", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        if axes.lines:
            axes.legend(frameon=False, fontsize=9)
    figure.suptitle(report.conditions(), fontsize=9, x=0.01, ha="left")
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=150)
    write_atomically(path, image.getvalue())
