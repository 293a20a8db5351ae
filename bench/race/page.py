"""A race on one page, with interactive plots, for any browser, without a network."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from ..machine.ceilings import Ceilings
from ..report.page_parts import conditions_html, log_figure, plot_html, remarks_html, section_html, write_html
from ..report.tables import Table
from .plot import ceiling_line, colour, is_own, race_lines
from .run import point_name
from .table import RIGHTNESS, by_point, race_cells, race_remarks

_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "pentagon")


def write_race_page(result: dict[str, Any], path: Path) -> None:
    """Write the page; it needs plotly, whose script becomes part of it (5 MB)."""
    parts = [remarks_html(race_remarks(result)), _conditions(result)]
    for number, (panel, lines) in enumerate(race_lines(result).items()):
        figure = _figure(lines, ceiling_line(result, panel))
        legend = "Medians. Dotted: what the machine's float32 ceilings leave for this work."
        parts.append(f"<h2>{escape(panel)}</h2>\n{plot_html(figure, f'plot-{number + 1}', legend)}")
    parts += [section_html(Table(point_name(rows[0]["point"]), race_cells(rows))) for rows in by_point(result)]
    parts.append(f'<p class="note">{escape(RIGHTNESS)}</p>')
    write_html("mmkg-sdk bench race", parts, path)


def _conditions(result: dict[str, Any]) -> str:
    found, settings = result["environment"], result["settings"]
    measured = f"{found['cpu']}, {settings['threads']} of {found['usable_cores']} cores"
    how_long = f"{settings['rounds']} rounds of {settings['seconds']:g} s per contender and point"
    return conditions_html(measured, how_long, Ceilings.from_json(result["ceilings"]), found)


def _figure(lines: dict[str, list[tuple[int, float]]], limit: list[tuple[int, float]]) -> Any:
    batches = sorted({batch for points in lines.values() for batch, _ in points})
    figure = log_figure("batch", "ms per batch", tickmode="array", tickvals=batches)
    for i, (name, points) in enumerate(lines.items()):
        dash = "solid" if is_own(name) else "dash"
        figure.add_scatter(
            x=[batch for batch, _ in points],
            y=[ms for _, ms in points],
            name=name,
            mode="lines+markers",
            line={"color": colour(name), "dash": dash},
            marker={"symbol": _SYMBOLS[i % len(_SYMBOLS)], "size": 8},
            hovertemplate="%{y:,.4g} ms at batch %{x}",
        )
    if limit:
        figure.add_scatter(
            x=[batch for batch, _ in limit],
            y=[ms for _, ms in limit],
            name="ceiling, float32",
            mode="lines",
            line={"color": "#333333", "dash": "dot", "width": 1.5},
            hovertemplate="%{y:,.4g} ms at batch %{x}",
        )
    return figure
