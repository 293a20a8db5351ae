"""report.html: everything that was measured on one page, with interactive plots, for any browser, without a network."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .page_parts import conditions_html, log_figure, plot_html, remarks_html, section_html, write_html
from .plot import AXES, COLOURS, ceiling_lines
from .results import BenchReport, Panel, known
from .tables import latency_table, offline_table, server_table, start_table, throughput_table, work_table

_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "pentagon")


def write_page(report: BenchReport, path: Path) -> None:
    """Write the page; it needs plotly, whose script becomes part of it (5 MB)."""
    parts = [remarks_html(report.remarks()), _conditions(report), *_sections(report)]
    write_html(f"mmkg-sdk bench: {report.bundle['name']}", parts, path)


def _sections(report: BenchReport) -> Iterable[str]:
    """Each with its plot, if it has one, and its numbers."""
    number = 0
    for panel in report.panels():
        number += 1
        legend = "Bars run from the lowest to the highest sample. Dashed: the machine's ceiling for the graph's work."
        yield section_html(
            throughput_table(report, panel), plot_html(_throughput(report, panel), f"plot-{number}", legend)
        )
        yield section_html(work_table(report, panel))
    for table in (latency_table(report), offline_table(report)):
        yield section_html(table)
    if report.of_mode("server"):
        marks = "Open marks: the contender did not keep up, or too few questions came to say."
        yield section_html(server_table(report), plot_html(_server(report), f"plot-{number + 1}", marks))
    yield section_html(start_table(report))


def _conditions(report: BenchReport) -> str:
    settings, bundle = report.settings, report.bundle
    how_long = f"{settings['rounds']} rounds of {settings['seconds']:g} s per contender and point"
    seconds = bundle["export_seconds"]
    exported = "" if seconds is None else f", exported in {seconds:g} s where it was made"
    about = f"{bundle['bytes'] / 1e6:,.1f} MB{exported}"
    return conditions_html(report.conditions(), how_long, report.ceilings, report.environment, about)


def _throughput(report: BenchReport, panel: Panel) -> Any:
    """A line per contender; bars run from the lowest to the highest sample."""
    unit, tokens, _ = panel
    counts = report.settings["token_counts"][tokens]
    figure = log_figure(AXES[tokens], f"{unit} per second", tickmode="array", tickvals=counts)
    for i, name in enumerate(report.contenders()):
        rows = report.curve(name, panel)
        if not rows:
            continue
        rates, lowest, highest = (
            [row.numbers[f"per_second{end}"] or 0.0 for row in rows] for end in ("", "_min", "_max")
        )
        spread = {
            "array": [high - rate for high, rate in zip(highest, rates, strict=True)],
            "arrayminus": [rate - low for low, rate in zip(lowest, rates, strict=True)],
        }
        figure.add_scatter(
            x=[row.token_count for row in rows],
            y=rates,
            error_y={"type": "data", "symmetric": False, "thickness": 1.5, **spread},
            name=name,
            mode="lines+markers",
            line={"color": COLOURS[i % len(COLOURS)]},
            marker={"symbol": _SYMBOLS[i % len(_SYMBOLS)], "size": 8},
            hovertemplate="%{y:,.4g} at %{x} tokens",
        )
    for i, (name, points) in enumerate(ceiling_lines(report, panel).items()):
        figure.add_scatter(
            x=[count for count, _ in points],
            y=[rate for _, rate in points],
            name=name,
            mode="lines",
            line={"color": "#555555", "dash": ("dash", "dot")[i % 2], "width": 1.5},
            hovertemplate="%{y:,.4g} at %{x} tokens",
        )
    return figure


def _server(report: BenchReport) -> Any:
    """Latency against the rate of arrivals: a line for p50 and one for p99 of each contender."""
    units = dict.fromkeys(row.unit for row in report.of_mode("server") if row.unit)
    figure = log_figure(f"{' and '.join(units)} arriving per second", "latency in ms, from the scheduled arrival")
    for i, name in enumerate(report.contenders()):
        rows = [row for row in report.of_mode("server") if row.contender == name]
        for percentile, dash in (("p50", "solid"), ("p99", "dot")):
            points = known(rows, f"latency_ms_{percentile}")
            if not points:
                continue
            symbol = _SYMBOLS[i % len(_SYMBOLS)]
            figure.add_scatter(
                x=[row.numbers["offered_per_second"] for row, _ in points],
                y=[value for _, value in points],
                name=f"{name}, {percentile}",
                mode="lines+markers",
                line={"color": COLOURS[i % len(COLOURS)], "dash": dash},
                marker={"symbol": [symbol if row.sustained else f"{symbol}-open" for row, _ in points], "size": 9},
                hovertemplate="%{y:,.4g} ms at %{x:,.4g} per second",
            )
    return figure
