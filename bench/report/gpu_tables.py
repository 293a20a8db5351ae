"""The tables and plots of a GPU's stages: times on the device, times on the host, and what else was seen.

NEVER SHOWN A RUN ON A GPU: the tests use numbers that were made up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import get_args

from .plots import CEILING_COLOUR, COLOURS, Line, Plot
from .results import BenchReport, GpuMode, Row
from .table import Table, percent

TITLES: dict[str, str] = {
    "gpu-scan": "scan: the k best rows of the table",
    "gpu-query": "query: vectors of queries",
    "gpu-answer": "answer: from labels to labels",
    "gpu-encode": "encode: entities by their number of tokens",
}
_COLD = "caches flushed before each call"
_DEVICE = {
    "p50": "gpu_ms_p50",
    "p90": "gpu_ms_p90",
    "p99": "gpu_ms_p99",
    "warm p50": "gpu_warm_ms_p50",
    "graph p50": "gpu_graph_ms_p50",
    "graph p99": "gpu_graph_ms_p99",
    "enqueue p50": "enqueue_ms_p50",
}
_HOST = {
    "p50": "latency_ms_p50",
    "p90": "latency_ms_p90",
    "p99": "latency_ms_p99",
    "H2D p50": "h2d_ms_p50",
    "D2H p50": "d2h_ms_p50",
    "per second": "per_second",
    "arriving per second": "offered_per_second",
    "served p50": "served_ms_p50",
    "served p99": "served_ms_p99",
}
_SEEN = {
    "first call ms": "first_ms",
    "mJ each": "mj_per_item",
    "W": "watts",
    "SM MHz": "sm_mhz",
    "lowest": "sm_mhz_min",
    "memory MHz": "memory_mhz",
    "C": "temperature_c",
    "GPU MiB": "gpu_peak_mib",
}


def gpu_tables(report: BenchReport) -> list[Table]:
    """Three for each stage, and where nodes ran; those without rows are empty."""
    found = []
    for mode, title in TITLES.items():
        rows = [row for row in report.rows if row.mode == mode]
        found += [_device_table(title, rows), _host_table(title, rows, report), _seen_table(title, rows)]
    return [*found, _providers_table(report)]


def gpu_plots(report: BenchReport) -> list[Plot]:
    """Milliseconds on the device against batch, and the ceiling; a plot for each stage and k.

    Encoders are drawn against tokens instead, as those of a processor are.
    """
    found = []
    for mode in (one for one in get_args(GpuMode) if one != "gpu-encode"):
        rows = [row for row in report.rows if row.mode == mode]
        for k in dict.fromkeys(row.k for row in rows):
            here, where = [row for row in rows if row.k == k], f", k={k}" if k else ""
            if plot := _plot(TITLES[mode] + where, here, report.contenders()):
                found.append(plot)
    return found


def _device_table(title: str, rows: Sequence[Row]) -> Table:
    cells = [["contender", "batch", *_head(rows), *_DEVICE, "of the ceiling", "bound"]]
    for row in rows if any("gpu_ms_p50" in row.numbers for row in rows) else ():
        share = percent(row.numbers.get("percent_of_ceiling"))
        cells.append([row.contender, *_place(row), *_values(row, _DEVICE.values()), share, row.bound or "-"])
    note = f"ms by events, {_COLD}; warm: the same inputs again; graph: as a CUDA graph; bound by launching: the host "
    return Table(f"On the device, {title}", _kept(cells), (note + "puts work on the GPU no faster than it is done",))


def _host_table(title: str, rows: Sequence[Row], report: BenchReport) -> Table:
    cells = [["contender", "batch", *_head(rows), *_HOST, "kept up", "of the ceiling", "bound"]]
    for row in rows:
        kept_up = {True: "yes", False: "no", None: "-"}[row.sustained]
        # Of what is timed on the device, the device's table tells.
        whole = "gpu_ms_p50" not in row.numbers
        share = [percent(row.numbers.get("percent_of_ceiling")), row.bound or "-"] if whole else ["-", "-"]
        cells.append([row.contender, *_place(row), *_values(row, _HOST.values()), kept_up, *share])
    moved = "with" if report.settings.get("transfers", True) else "without"
    note = f"ms {moved} copies to and from the GPU; per second: two calls in flight; served: arriving at random moments"
    return Table(f"On the host, {title}", _kept(cells), (note,))


def _seen_table(title: str, rows: Sequence[Row]) -> Table:
    cells = [["contender", "batch", *_head(rows), "difference", "right ids", *_SEEN]]
    for row in rows:
        right = row.numbers.get("right_ids")
        difference = "-" if row.max_difference is None else f"{row.max_difference:.1e}"
        shown = "-" if right is None else f"{100 * right:.4g} %"
        cells.append([row.contender, *_place(row), difference, shown, *_values(row, _SEEN.values())])
    note = "difference: the largest from the CPU's answer, as a share of its root mean square; energy, clocks by NVML"
    return Table(f"Rightness, energy and clocks, {title}", _kept(cells), (note,))


def _providers_table(report: BenchReport) -> Table:
    cells = [["contender", "graph", "provider", "nodes", "operators"]]
    for contender, graphs in report.environment.get("providers", {}).items():
        for graph, providers in graphs.items():
            for provider, operators in providers.items():
                most = sorted(operators.items(), key=lambda one: (-one[1], one[0]))
                shown = ", ".join(f"{name} {count}" for name, count in most)
                cells.append([contender, graph, provider, f"{sum(operators.values()):,}", shown])
    note = "On a GPU, nodes on the CPU are arithmetic on shapes: a graph with any other there is refused."
    return Table("Providers of all nodes, ONNX Runtime", cells, (note,))


def _plot(title: str, rows: Sequence[Row], names: Sequence[str]) -> Plot | None:
    lines = []
    for i, name in enumerate(names):
        points = sorted((float(row.batch or 0), value) for row in rows if row.contender == name and (value := _ms(row)))
        if points:
            lines.append(Line(name, points, COLOURS[i % len(COLOURS)], mark=i))
    if not lines:
        return None
    ceilings: dict[float, float] = {}
    for row in rows:
        rate, batch = row.numbers.get("ceiling_per_second"), float(row.batch or 0)
        if rate and batch:
            ceilings[batch] = min(1e3 * batch / rate, ceilings.get(batch, float("inf")))
    if ceilings:
        lines.append(Line("ceiling", sorted(ceilings.items()), CEILING_COLOUR, dash="dot", bold=False))
    batches = sorted({float(row.batch or 0) for row in rows})
    return Plot(title, "batch", "ms per batch", lines, batches, "%{y:,.4g} ms at batch %{x}")


def _ms(row: Row) -> float | None:
    """On the device; on the host where the device's is not known apart."""
    found = row.numbers.get("gpu_ms_p50")
    return row.numbers.get("latency_ms_p50") if found is None else found


def _head(rows: Sequence[Row]) -> list[str]:
    return ["k"] if any(row.k for row in rows) else ["tokens"] if any(row.token_count for row in rows) else []


def _place(row: Row) -> list[str]:
    """Batch, and k or tokens."""
    sized = row.k or row.token_count
    return [f"{row.batch or 0:,}", *([str(sized)] if sized else [])]


def _values(row: Row, names: Iterable[str]) -> list[str]:
    if not row.numbers:
        return [row.status, *("-" for _ in list(names)[1:])]
    return [_number(row.numbers.get(name)) for name in names]


def _kept(cells: list[list[str]]) -> list[list[str]]:
    """Without columns that are empty in every row."""
    filled = [i for i in range(len(cells[0])) if i < 2 or any(row[i] not in ("-", "") for row in cells[1:])]
    return [[row[i] for i in filled] for row in cells]


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"
