"""The tables of a BenchReport."""

from __future__ import annotations

from collections.abc import Sequence

from .gpu_tables import gpu_tables
from .results import BenchReport, Panel, Row, axis_name
from .table import Table, percent

_LATENCIES = ("p50", "p90", "p99", "p99.9")
_START = {
    "first_answer_ms": "first answer ms",
    "import_ms": "import ms",
    "load_ms": "load ms",
    "answer_ms": "answer ms",
    "resident_mib": "resident MiB",
    "peak_mib": "peak MiB",
}


def report_table(report: BenchReport) -> str:
    """All tables as text."""
    head = f"Medians ({report.conditions()})\n{report.ceilings.words()}"
    sections = [head, *map(str, tables(report)), "\n".join(report.remarks())]
    return "\n\n".join(section for section in sections if section)


def tables(report: BenchReport) -> list[Table]:
    """Those that have rows."""
    found = [make(report, panel) for panel in report.panels() for make in (throughput_table, work_table)]
    found += [latency_table(report), offline_table(report), server_table(report), start_table(report)]
    found += gpu_tables(report)
    return [table for table in found if not table.is_empty]


def throughput_table(report: BenchReport, panel: Panel) -> Table:
    """A line per token count, a column per contender."""
    unit, tokens, batch = panel
    points = {(row.contender, row.token_count): row for row in report.rows if row.panel == panel}
    names = list(dict.fromkeys(name for name, _ in points))
    reference = {row.token_count: row for row in report.curve(report.settings["reference"], panel)}
    cells = [[axis_name(tokens), *names]]
    for count in report.settings["token_counts"][tokens]:
        rows = [points[name, count] for name in names]
        cells.append([str(count), *(_rate(row, reference.get(count)) for row in rows)])
    differences = [row.max_difference for row in points.values() if row.max_difference is not None]
    footnotes = [f"(x) times {report.settings['reference']}"] if reference else []
    if differences:
        footnotes.append(f"largest difference between outputs of contenders: {max(differences):.1e}")
    sized = f", batches of {batch:,}" if batch else ""
    graph = min((row.graph or "" for row in rows), key=len)  # the others say how they rewrite it
    return Table(f"{unit.capitalize()} per second ({graph}{sized})", cells, tuple(footnotes))


def work_table(report: BenchReport, panel: Panel) -> Table:
    """A line per contender and token count: what an item costs, and how near the machine's ceilings that runs."""
    unit, tokens, _ = panel
    cells = [["contender", axis_name(tokens), "MFLOP", "kB", "GFLOP/s", "GB/s", "of the ceiling", "bound"]]
    for name in report.contenders():
        for row in report.curve(name, panel):
            found = row.numbers
            if found.get("flop_per_item") is None:
                continue
            numbers = [(found["flop_per_item"] or 0.0) / 1e6, (found["bytes_per_item"] or 0.0) / 1e3]
            numbers += [found["gflop_per_second"] or 0.0, found["gb_per_second"] or 0.0]
            share = percent(found["percent_of_ceiling"])
            cells.append([name, str(row.token_count), *map(_number, numbers), share, row.bound or "-"])
    note = f"MFLOP and kB: of each of the {unit} at the least, weights once a batch (bench/machine/work.py)"
    return Table(f"Work and share of the machine's ceilings ({unit})", cells, (note,))


def latency_table(report: BenchReport) -> Table:
    """Questions one after the other."""
    cells = [["one question", *(f"{name} ms" for name in _LATENCIES), "questions"]]
    rows = report.of_mode("single-stream")
    cells += [[row.contender, *_latencies(row), f"{row.samples:,}"] for row in rows]
    return Table("Latency of single questions, one after the other", cells, _footnotes(rows))


def offline_table(report: BenchReport) -> Table:
    """Questions in large lists."""
    cells = [["in lists", "per second", "at a time"]]
    cells += [[row.contender, _rate(row), _count(row.batch)] for row in report.of_mode("offline")]
    units = dict.fromkeys(row.unit for row in report.of_mode("offline") if row.unit)
    return Table(f"{' and '.join(units).capitalize()} per second in large lists", cells)


def server_table(report: BenchReport) -> Table:
    """Questions that arrive by a schedule."""
    cells = [["arriving", "load", "per second", *(f"{name} ms" for name in _LATENCIES), "kept up", "questions"]]
    rows = report.of_mode("server")
    for row in rows:
        kept_up = {True: "yes", False: "no", None: "-"}[row.sustained]
        offered = _number(row.numbers.get("offered_per_second"))
        cells.append([row.contender, f"{row.load:.0%}", offered, *_latencies(row), kept_up, f"{row.samples:,}"])
    title = (
        "Latency of questions that arrive at random moments, from the scheduled arrival, by share of the offline rate"
    )
    return Table(title, cells, _footnotes(rows))


def start_table(report: BenchReport) -> Table:
    """Fresh processes."""
    cells = [["fresh process", *_START.values(), "starts"]]
    for row in report.of_mode("cold-start"):
        numbers = [_number(row.numbers.get(name)) for name in _START] if row.numbers else [row.status, *"-----"]
        cells.append([row.contender, *numbers, str(row.samples)])
    return Table("Cold start: from the start of a process to its first answer, files in the system's memory", cells)


def _rate(row: Row, reference: Row | None = None) -> str:
    rate = row.numbers.get("per_second")
    if rate is None:
        return row.status
    base = reference.numbers.get("per_second") if reference and reference.contender != row.contender else None
    return f"{_number(rate)} ({_number(rate / base)}x)" if base else _number(rate)


def _latencies(row: Row) -> list[str]:
    if not row.numbers:
        return [row.status, *"---"]
    values = [row.numbers[f"latency_ms_{name}"] for name in _LATENCIES]
    return ["-" if value is None else f"{value:.2f}" for value in values]


def _footnotes(rows: Sequence[Row]) -> tuple[str, ...]:
    if any(None in (row.numbers[f"latency_ms_{name}"] for name in _LATENCIES) for row in rows if row.numbers):
        return ("- too few questions to say",)
    return ()


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"
