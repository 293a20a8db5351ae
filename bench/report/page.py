"""Page: measurements for any browser, without a network: remarks, conditions, and sections of plots and tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from mmkg_sdk.files.atomic import write_atomically

from ..machine.ceilings import Ceilings
from .plots import Line, Plot
from .table import Cells, Table

_MARKS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "pentagon")
# Nothing may be fetched, whatever the script would like.
_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem } h2 { font-size: 1.15rem; margin-top: 2.5rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .15rem .8rem; text-align: right; border-bottom: 1px solid #ddd }
th { border-color: #888 } th:first-child, td:first-child { text-align: left; padding-left: 0 }
.conditions td { text-align: left; overflow-wrap: anywhere } .conditions td:first-child { white-space: nowrap }
.scroll { overflow-x: auto }
.remarks { border-left: .3rem solid #D55E00; padding-left: 1rem } .note { color: #555; font-size: .9rem }
"""


@dataclass(frozen=True)
class Section:
    """Attributes:
    title: None takes that of the table.
    legend: what the plot does not say.
    """

    table: Table | None = None
    plot: Plot | None = None
    legend: str = ""
    title: str | None = None


@dataclass(frozen=True)
class Page:
    """Attributes:
    remarks: what stands above the numbers.
    conditions: see `conditions`.
    note: below the last section.
    """

    title: str
    remarks: Sequence[str]
    conditions: Cells
    sections: Sequence[Section]
    note: str = ""


def write_page(page: Page, path: Path) -> None:
    """Write it; this needs plotly, whose script becomes part of it (5 MB). Sections without numbers are left out."""
    from plotly.offline import get_plotlyjs

    name = escape(page.title)
    head = (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{name}</title>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f'<meta name="viewport" content="width=device-width">\n<style>{_STYLE}</style>\n'
        f"<script>{get_plotlyjs()}</script>\n</head>\n<body>\n<h1>{name}</h1>\n"
    )
    parts = [_remarks(page.remarks), _cells(page.conditions, "conditions"), *_sections(page.sections), _note(page.note)]
    body = "\n".join(filter(None, parts))
    write_atomically(path, f"{head}{body}\n</body>\n</html>\n".encode())


def conditions(
    measured: str, how_long: str, ceilings: Ceilings | None, found: Mapping[str, Any], bundle: str | None = None
) -> Cells:
    """What was measured, and on what.

    Args:
        ceilings: None where nothing is compared with them.
        found: the environment.
        bundle: about its size and export.
    """
    versions = [f"{package} {version}" for package, version in found["versions"].items() if version]
    commit = found["git_commit"] and found["git_commit"] + (", with changes" if found["git_dirty"] else "")
    load = found.get("other_load")
    lines = {
        "measured": measured,
        "when": found["date"],
        "how long": how_long,
        "ceilings": ceilings and ceilings.words().removeprefix("ceilings: "),
        "other work": None if load is None else f"{load:g} of {found['usable_cores']} cores",
        "memory": found["memory_mib"] and f"{found['memory_mib']:,} MiB",
        "instruction sets": ", ".join(found["cpu_flags"]),
        "graphics processors": ", ".join(found["gpus"]),
        "measured on": _gpu_words(found.get("gpu")),
        "system": f"{found['os']}, Python {found['python']}",
        "versions": ", ".join(versions),
        "commit": commit,
        "bundle": bundle,
        "bundle.json": found.get("bundle_sha256") and f"SHA-256 {found['bundle_sha256']}",
    }
    return [[name, str(value)] for name, value in lines.items() if value]


def _gpu_words(gpu: Mapping[str, Any] | None) -> str:
    """Name, versions, clocks and limits of the GPU that was measured."""
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in (gpu or {}).items() if value is not None)


def how_long(settings: Mapping[str, Any]) -> str:
    """Rounds and seconds, in words."""
    return f"{settings['rounds']} rounds of {settings['seconds']:g} s per contender and point"


def _sections(sections: Iterable[Section]) -> Iterable[str]:
    number = 0
    for section in sections:
        table, plot = section.table, section.plot
        if table is not None and table.is_empty:
            continue
        yield f"<h2>{escape(section.title or (table.title if table else ''))}</h2>"
        if plot is not None:
            number += 1
            yield _plot(plot, f"plot-{number}") + _note(section.legend)
        if table is not None:
            yield _cells(table.cells) + "".join(map(_note, table.footnotes))


def _remarks(remarks: Iterable[str]) -> str:
    lines = "\n".join(f"<p>{escape(remark)}</p>" for remark in remarks)
    return f'<div class="remarks">\n{lines}\n</div>' if lines else ""


def _note(text: str) -> str:
    return f'\n<p class="note">{escape(text)}</p>' if text else ""


def _cells(cells: Cells, kind: str = "") -> str:
    """The first row is a header, unless `kind` names a class of tables without one."""
    rows = ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in cells]
    if not kind:
        rows[0] = rows[0].replace("td>", "th>")
    lines = "\n".join(f"<tr>{row}</tr>" for row in rows)
    return f'<div class="scroll"><table class="{kind}">\n{lines}\n</table></div>'


def _plot(plot: Plot, name: str) -> str:
    """As an element with this id."""
    from plotly import graph_objects

    figure = graph_objects.Figure()
    figure.update_layout(
        template="simple_white",
        height=460,
        margin={"l": 70, "r": 20, "t": 20, "b": 60},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        font={"size": 14},
    )
    scale = {"type": "log", "dtick": "D2"} if plot.logarithmic else {"type": "linear"}
    axis = {**scale, "showgrid": True, "tickformat": ",~r"}
    ticks = {"tickmode": "array", "tickvals": list(plot.ticks)} if plot.ticks else {}
    figure.update_xaxes(title_text=plot.x, **axis | ticks)
    figure.update_yaxes(title_text=plot.y, **axis)
    for line in plot.lines:
        figure.add_scatter(**_trace(line), hovertemplate=plot.hover)
    # plotly 7 would offer to upload the plot.
    options = {"displaylogo": False, "responsive": True, "showSendToCloud": False}
    drawn: str = figure.to_html(full_html=False, include_plotlyjs=False, div_id=name, config=options)
    return drawn


def _trace(line: Line) -> dict[str, Any]:
    ys = [y for _, y in line.points]
    trace: dict[str, Any] = {
        "x": [x for x, _ in line.points],
        "y": ys,
        "name": line.name,
        "mode": "lines" if line.mark is None else "lines+markers" if line.joined else "markers",
        "line": {"color": line.colour, "dash": line.dash, **({"width": 1.5} if line.mark is None else {})},
    }
    if line.mark is not None:
        mark = _MARKS[line.mark % len(_MARKS)]
        symbols = [f"{mark}-open" if is_open else mark for is_open in line.open_marks]
        trace["marker"] = {"symbol": symbols or mark, "size": 8}
    if line.labels:
        trace["text"] = list(line.labels)
    if line.spread:
        lowest, highest = zip(*line.spread, strict=True)
        above = [high - y for high, y in zip(highest, ys, strict=True)]
        below = [y - low for low, y in zip(lowest, ys, strict=True)]
        bars = {"type": "data", "symmetric": False, "thickness": 1.5}
        trace["error_y"] = {**bars, "array": above, "arrayminus": below}
    return trace
