"""BenchReport: the rows of a benchmark, as table, JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from mmkg_sdk.files import write_atomically

from .curves import Tokens, axis_name

# What the width of a model is called in the configurations of the families, and in print.
_WIDTHS = {"embedding_dim": "d", "hidden_dim": "d", "text_width": "text d", "image_width": "image d"}

FORMAT_VERSION = 2
RESULTS_JSON, RESULTS_CSV, THROUGHPUT_PNG = "results.json", "results.csv", "throughput.png"


@dataclass(frozen=True)
class Row:
    """One contender at one point; numbers that do not apply or were not measured are None.

    Attributes:
        mode: "throughput": `unit` per second at `token_count` of `tokens` (see Curve). "query": latency of single
            questions (see `questions`).
        status: "failed" points have no number, and `note` says why; so it does for what was "not measured".
        per_second: median over `samples` of all rounds, with lowest and highest beside it.
        latency_ms_p50: median over `samples` questions of all rounds, with p99 and extremes beside it.
        max_difference: largest absolute difference of the outputs from those of the reference contender.
    """

    mode: Literal["throughput", "query"]
    contender: str
    backend: str
    device: str
    graph: str | None
    tokens: Tokens | None
    token_count: int | None
    unit: str | None
    status: Literal["measured", "failed", "not measured"]
    per_second: float | None = None
    per_second_min: float | None = None
    per_second_max: float | None = None
    max_difference: float | None = None
    latency_ms_p50: float | None = None
    latency_ms_p99: float | None = None
    latency_ms_min: float | None = None
    latency_ms_max: float | None = None
    samples: int = 0
    rounds: int = 0
    items_per_sample: int | None = None
    note: str | None = None


@dataclass(frozen=True)
class BenchReport:
    """What was measured, and under which conditions.

    Attributes:
        complete: False while the sweep runs, and for ever if it was interrupted.
        bundle: family, precision and sizes of what was measured.
        settings: token_counts, seconds, rounds, threads, omp_wait_policy, seed, reference.
        environment: see `environment`; with the load before and after.
    """

    complete: bool
    bundle: dict[str, Any]
    settings: dict[str, Any]
    environment: dict[str, Any]
    rows: tuple[Row, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "format_version": FORMAT_VERSION,
            "complete": self.complete,
            "bundle": self.bundle,
            "settings": self.settings,
            "environment": self.environment,
            "rows": [asdict(row) for row in self.rows],
        }

    def save(self, folder: Path) -> None:
        """Write results.json and results.csv, each the old one or the new one at any time."""
        text = json.dumps(self.to_json(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        write_atomically(folder / RESULTS_JSON, text.encode("utf-8"))
        lines = io.StringIO()
        writer = csv.DictWriter(lines, [field.name for field in fields(Row)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in self.rows)
        write_atomically(folder / RESULTS_CSV, lines.getvalue().encode("utf-8"))

    def table(self) -> str:
        """The results for people."""
        sections = [f"Medians ({self.conditions()})", *map(self._throughput, self.panels())]
        sections += [self._latency(), *self._remarks()]
        return "\n\n".join(section for section in sections if section)

    def panels(self) -> list[tuple[str, Tokens]]:
        """What was measured against what: unit and kind of tokens, in the order of the rows."""
        return list(dict.fromkeys((row.unit, row.tokens) for row in self.rows if row.unit and row.tokens))

    def curve(self, contender: str, panel: tuple[str, Tokens]) -> list[Row]:
        """A contender's measured points of one panel, by token count."""
        rows = [row for row in self.rows if row.contender == contender and (row.unit, row.tokens) == panel]
        return sorted((row for row in rows if row.status == "measured"), key=lambda row: row.token_count or 0)

    def contenders(self) -> list[str]:
        """The names in the order of the rows."""
        return list(dict.fromkeys(row.contender for row in self.rows))

    def conditions(self) -> str:
        """Processor, threads, model and precision in one line."""
        found, bundle = self.environment, self.bundle
        config = bundle["config"]
        widths = [f"{sign}={config[name]}" for name, sign in _WIDTHS.items() if name in config]
        return ", ".join(
            [
                f"{found['cpu']}, {self.settings['threads']} of {found['usable_cores']} cores; {bundle['family']} "
                f"{bundle['precision']}",
                *widths,
            ]
        )

    def _throughput(self, panel: tuple[str, Tokens]) -> str:
        unit, tokens = panel
        points = {(row.contender, row.token_count): row for row in self.rows if (row.unit, row.tokens) == panel}
        names = list(dict.fromkeys(name for name, _ in points))
        reference = {row.token_count: row for row in self.curve(self.settings["reference"], panel)}
        grid = [[axis_name(tokens), *names]]
        for count in self.settings["token_counts"][tokens]:
            rows = [points[name, count] for name in names]
            grid.append([str(count), *(_cell(row, reference.get(count)) for row in rows)])
        differences = [row.max_difference for row in points.values() if row.max_difference is not None]
        lines = [f"{unit.capitalize()} per second ({rows[0].graph})", _aligned(grid)]
        if reference:
            lines.append(f"(x) times {self.settings['reference']}")
        if differences:
            lines.append(f"largest difference between outputs of contenders: {max(differences):.1e}")
        return "\n".join(lines)

    def _latency(self) -> str:
        grid = [["one question", "p50 ms", "p99 ms", "questions"]]
        for row in self.rows:
            if row.mode == "query":
                times = [_milliseconds(value) for value in (row.latency_ms_p50, row.latency_ms_p99)]
                grid.append([row.contender, *times, f"{row.samples:,}"])
        return _aligned(grid)

    def _remarks(self) -> list[str]:
        notes = dict.fromkeys(f"{row.contender}: {row.status}: {row.note}" for row in self.rows if row.note)
        remarks = ["\n".join(notes)] if notes else []
        if self.environment.get("loaded_machine"):
            load = self.environment["other_load"]
            remarks.append(
                f"Other work took about {load} of {self.environment['usable_cores']} cores meanwhile: compare these "
                "numbers with each other, not with those of other runs."
            )
        if not self.complete:
            remarks.append("The sweep did not finish.")
        return remarks


def _cell(row: Row, reference: Row | None) -> str:
    if row.per_second is None:
        return row.status
    rate = f"{row.per_second:,.0f}" if row.per_second >= 100 else f"{row.per_second:.3g}"
    if reference is None or reference.contender == row.contender or not reference.per_second:
        return rate
    return f"{rate} ({row.per_second / reference.per_second:.2g}x)"


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _aligned(grid: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell: the first to the left, the others to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*grid, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in grid
    )
