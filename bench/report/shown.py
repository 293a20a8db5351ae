"""How a BenchReport is shown: its plots, and its page report.html."""

from __future__ import annotations

from collections.abc import Iterable

from .gpu_tables import gpu_plots, gpu_tables
from .page import Page, Section, conditions, how_long
from .plots import CEILING_COLOUR, COLOURS, Dash, Line, Plot
from .results import BenchReport, Panel, known
from .tables import latency_table, offline_table, server_table, start_table, throughput_table, work_table

_AXES = {
    "all": "tokens per entity, of all kinds together",
    "text": "text tokens",
    "visual": "visual tokens (patches and class token)",
}


def report_page(report: BenchReport) -> Page:
    """Everything that was measured, with plots."""
    bundle, seconds = report.bundle, report.bundle["export_seconds"]
    exported = "" if seconds is None else f", exported in {seconds:g} s where it was made"
    about = f"{bundle['bytes'] / 1e6:,.1f} MB{exported}"
    found = conditions(report.conditions(), how_long(report.settings), report.ceilings, report.environment, about)
    command = "bench gpu" if any(row.on_gpu for row in report.rows) else "bench"
    return Page(f"mmkg-sdk {command}: {bundle['name']}", report.remarks(), found, list(_sections(report)))


def throughput_plots(report: BenchReport) -> list[Plot]:
    """Throughput against token count: a plot per panel, a line per contender and per ceiling."""
    return [_throughput(report, panel) for panel in report.panels()]


def _sections(report: BenchReport) -> Iterable[Section]:
    legend = "Bars run from the lowest to the highest sample. Dashed: the machine's ceiling for the graph's work."
    for panel, plot in zip(report.panels(), throughput_plots(report), strict=True):
        yield Section(throughput_table(report, panel), plot, legend)
        yield Section(work_table(report, panel))
    yield Section(latency_table(report))
    yield Section(offline_table(report))
    if report.of_mode("server"):
        marks = "Open marks: the contender did not keep up, or too few questions came to say."
        yield Section(server_table(report), _server(report), marks)
    yield Section(start_table(report))
    legend = "Medians on the device, or on the host where the device's are not known apart. Dotted: the ceiling."
    yield from (Section(plot=plot, legend=legend, title=plot.title.capitalize()) for plot in gpu_plots(report))
    yield from map(Section, gpu_tables(report))


def _throughput(report: BenchReport, panel: Panel) -> Plot:
    unit, tokens, batch = panel
    lines = []
    for i, name in enumerate(report.contenders()):
        rows = report.curve(name, panel)
        if not rows:
            continue
        counts = [float(row.token_count or 0) for row in rows]
        rates, lowest, highest = (
            [row.numbers[f"per_second{end}"] or 0.0 for row in rows] for end in ("", "_min", "_max")
        )
        points, spread = list(zip(counts, rates, strict=True)), list(zip(lowest, highest, strict=True))
        lines.append(Line(name, points, COLOURS[i % len(COLOURS)], mark=i, spread=spread))
    axis = _AXES[tokens] + (f" (batches of {batch:,})" if batch else "")
    ticks = report.settings["token_counts"][tokens]
    return Plot("", axis, f"{unit} per second", [*lines, *_ceilings(report, panel)], ticks, "%{y:,.4g} at %{x} tokens")


def _ceilings(report: BenchReport, panel: Panel) -> list[Line]:
    """What the machine's ceilings allow by token count, for each graph."""
    best: dict[str, dict[float, float]] = {}
    for row, rate in known((row for row in report.rows if row.panel == panel), "ceiling_per_second"):
        points = best.setdefault(row.graph or "", {})
        count = float(row.token_count or 0)
        points[count] = max(rate, points.get(count, 0.0))  # larger batches share the weights among more
    dashes: tuple[Dash, ...] = ("dash", "dot", "dashdot")
    return [
        Line(f"ceiling, {graph}", sorted(points.items()), CEILING_COLOUR, dash=dashes[i % len(dashes)], bold=False)
        for i, (graph, points) in enumerate(best.items())
    ]


def _server(report: BenchReport) -> Plot:
    """Latency against the rate of arrivals: a line for p50 and one for p99 of each contender."""
    units = dict.fromkeys(row.unit for row in report.of_mode("server") if row.unit)
    kinds: dict[str, Dash] = {"p50": "solid", "p99": "dot"}
    lines = []
    for i, name in enumerate(report.contenders()):
        rows = [row for row in report.of_mode("server") if row.contender == name]
        for percentile, dash in kinds.items():
            found = known(rows, f"latency_ms_{percentile}")
            if found:
                points = [(row.numbers["offered_per_second"] or 0.0, value) for row, value in found]
                unsure = [not row.sustained for row, _ in found]
                colour = COLOURS[i % len(COLOURS)]
                lines.append(Line(f"{name}, {percentile}", points, colour, i, dash, open_marks=unsure))
    return Plot(
        "",
        f"{' and '.join(units)} arriving per second",
        "latency in ms, from the scheduled arrival",
        lines,
        hover="%{y:,.4g} ms at %{x:,.4g} per second",
    )
