"""report.html: everything that was measured on one page, with interactive plots, for any browser, without a network."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

from mmkg_sdk.files import write_atomically

from .plot import AXES, COLOURS, ceiling_lines
from .report import BenchReport, Panel, known
from .tables import (
    Cells,
    Table,
    latency_table,
    offline_table,
    server_table,
    start_table,
    throughput_table,
    work_table,
)

# Nothing may be fetched, whatever the script would like.
_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem } h2 { font-size: 1.15rem; margin-top: 2.5rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .15rem .8rem; text-align: right; border-bottom: 1px solid #ddd }
th { border-color: #888 } th:first-child, td:first-child { text-align: left; padding-left: 0 }
.conditions td { text-align: left; overflow-wrap: anywhere } .scroll { overflow-x: auto }
.remarks { border-left: .3rem solid #D55E00; padding-left: 1rem } .note { color: #555; font-size: .9rem }
"""
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "pentagon")


def write_page(report: BenchReport, path: Path) -> None:
    """Write the page; it needs plotly, whose script becomes part of it (5 MB)."""
    from plotly.offline import get_plotlyjs

    title = escape(f"mmkg-sdk bench: {report.bundle['name']}")
    head = (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f'<meta name="viewport" content="width=device-width">\n<style>{_STYLE}</style>\n'
        f"<script>{get_plotlyjs()}</script>\n</head>\n<body>\n<h1>{title}</h1>\n"
    )
    body = "\n".join([_remarks(report), _conditions(report), *_sections(report)])
    write_atomically(path, f"{head}{body}\n</body>\n</html>\n".encode())


def _sections(report: BenchReport) -> Iterable[str]:
    """Each with its plot, if it has one, and its numbers."""
    number = 0
    for panel in report.panels():
        number += 1
        legend = "Bars run from the lowest to the highest sample. Dashed: the machine's ceiling for the graph's work."
        yield _section(throughput_table(report, panel), _plot(_throughput(report, panel), f"plot-{number}", legend))
        yield _section(work_table(report, panel))
    for table in (latency_table(report), offline_table(report)):
        yield _section(table)
    if report.of_mode("server"):
        marks = "Open marks: the contender did not keep up, or too few questions came to say."
        yield _section(server_table(report), _plot(_server(report), f"plot-{number + 1}", marks))
    yield _section(start_table(report))


def _section(table: Table, plot: str = "") -> str:
    if len(table.cells) == 1:
        return ""
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in table.footnotes)
    return f"<h2>{escape(table.title)}</h2>\n{plot}\n{_table(table.cells)}\n{notes}"


def _table(cells: Cells, kind: str = "") -> str:
    rows = ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in cells]
    if not kind:
        rows[0] = rows[0].replace("td>", "th>")
    lines = "\n".join(f"<tr>{row}</tr>" for row in rows)
    return f'<div class="scroll"><table class="{kind}">\n{lines}\n</table></div>'


def _remarks(report: BenchReport) -> str:
    lines = "\n".join(f"<p>{escape(remark)}</p>" for remark in report.remarks())
    return f'<div class="remarks">\n{lines}\n</div>' if lines else ""


def _conditions(report: BenchReport) -> str:
    found, settings = report.environment, report.settings
    versions = [f"{package} {version}" for package, version in found["versions"].items() if version]
    commit = found["git_commit"] and found["git_commit"] + (", with changes" if found["git_dirty"] else "")
    load = found.get("other_load")
    lines = {
        "measured": f"{report.conditions()}",
        "when": found["date"],
        "how long": f"{settings['rounds']} rounds of {settings['seconds']:g} s per contender and point",
        "other work": None if load is None else f"{load:g} of {found['usable_cores']} cores",
        "ceilings": report.ceilings.words().removeprefix("ceilings: "),
        "memory": found["memory_mib"] and f"{found['memory_mib']:,} MiB",
        "instruction sets": ", ".join(found["cpu_flags"]),
        "graphics processors": ", ".join(found["gpus"]),
        "system": f"{found['os']}, Python {found['python']}",
        "versions": ", ".join(versions),
        "commit": commit,
        "bundle": _bundle(report.bundle),
        "bundle.json": found.get("bundle_sha256") and f"SHA-256 {found['bundle_sha256']}",
    }
    return _table([[name, str(value)] for name, value in lines.items() if value], "conditions")


def _bundle(bundle: dict[str, Any]) -> str:
    seconds = bundle["export_seconds"]
    exported = "" if seconds is None else f", exported in {seconds:g} s where it was made"
    return f"{bundle['bytes'] / 1e6:,.1f} MB{exported}"


def _plot(figure: Any, name: str, legend: str) -> str:
    # plotly 7 would offer to upload the plot.
    options = {"displaylogo": False, "responsive": True, "showSendToCloud": False}
    drawn = figure.to_html(full_html=False, include_plotlyjs=False, div_id=name, config=options)
    return f'{drawn}\n<p class="note">{escape(legend)}</p>'


def _figure(x: str, y: str, **x_axis: Any) -> Any:
    """Logarithmic axes, a legend above."""
    from plotly import graph_objects

    figure = graph_objects.Figure()
    figure.update_layout(
        template="simple_white",
        height=460,
        margin={"l": 70, "r": 20, "t": 20, "b": 60},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        font={"size": 14},
    )
    axis = {"type": "log", "showgrid": True, "dtick": "D2", "tickformat": ",~r"}
    figure.update_xaxes(title_text=x, **axis | x_axis)
    figure.update_yaxes(title_text=y, **axis)
    return figure


def _throughput(report: BenchReport, panel: Panel) -> Any:
    """A line per contender; bars run from the lowest to the highest sample."""
    unit, tokens, _ = panel
    counts = report.settings["token_counts"][tokens]
    figure = _figure(AXES[tokens], f"{unit} per second", tickmode="array", tickvals=counts)
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
    figure = _figure(f"{' and '.join(units)} arriving per second", "latency in ms, from the scheduled arrival")
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
