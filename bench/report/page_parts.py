"""Parts of a page that shows measurements in any browser, without a network: tables, plots, conditions."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

from mmkg_sdk.files.atomic import write_atomically

from ..machine.ceilings import Ceilings
from .tables import Cells, Table

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


def write_html(title: str, parts: Iterable[str], path: Path) -> None:
    """Write a page; it needs plotly, whose script becomes part of it (5 MB)."""
    from plotly.offline import get_plotlyjs

    name = escape(title)
    head = (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{name}</title>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f'<meta name="viewport" content="width=device-width">\n<style>{_STYLE}</style>\n'
        f"<script>{get_plotlyjs()}</script>\n</head>\n<body>\n<h1>{name}</h1>\n"
    )
    body = "\n".join(parts)
    write_atomically(path, f"{head}{body}\n</body>\n</html>\n".encode())


def section_html(table: Table, plot: str = "") -> str:
    """A table under its title, and its plot; nothing for a table without rows."""
    if len(table.cells) == 1:
        return ""
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in table.footnotes)
    return f"<h2>{escape(table.title)}</h2>\n{plot}\n{cells_html(table.cells)}\n{notes}"


def cells_html(cells: Cells, kind: str = "") -> str:
    """The first row is a header, unless `kind` names a class of tables without one."""
    rows = ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in cells]
    if not kind:
        rows[0] = rows[0].replace("td>", "th>")
    lines = "\n".join(f"<tr>{row}</tr>" for row in rows)
    return f'<div class="scroll"><table class="{kind}">\n{lines}\n</table></div>'


def remarks_html(remarks: Iterable[str]) -> str:
    """What stands above the numbers."""
    lines = "\n".join(f"<p>{escape(remark)}</p>" for remark in remarks)
    return f'<div class="remarks">\n{lines}\n</div>' if lines else ""


def conditions_html(
    measured: str, how_long: str, ceilings: Ceilings, found: dict[str, Any], bundle: str | None = None
) -> str:
    """What was measured, and on what.

    Args:
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
        "ceilings": ceilings.words().removeprefix("ceilings: "),
        "other work": None if load is None else f"{load:g} of {found['usable_cores']} cores",
        "memory": found["memory_mib"] and f"{found['memory_mib']:,} MiB",
        "instruction sets": ", ".join(found["cpu_flags"]),
        "graphics processors": ", ".join(found["gpus"]),
        "system": f"{found['os']}, Python {found['python']}",
        "versions": ", ".join(versions),
        "commit": commit,
        "bundle": bundle,
        "bundle.json": found.get("bundle_sha256") and f"SHA-256 {found['bundle_sha256']}",
    }
    return cells_html([[name, str(value)] for name, value in lines.items() if value], "conditions")


def plot_html(figure: Any, name: str, legend: str) -> str:
    """A plotly figure as an element with this id."""
    # plotly 7 would offer to upload the plot.
    options = {"displaylogo": False, "responsive": True, "showSendToCloud": False}
    drawn = figure.to_html(full_html=False, include_plotlyjs=False, div_id=name, config=options)
    return f'{drawn}\n<p class="note">{escape(legend)}</p>'


def log_figure(x: str, y: str, **x_axis: Any) -> Any:
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
