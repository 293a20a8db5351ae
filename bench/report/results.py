"""BenchReport: the rows of a benchmark, as JSON and CSV; tables.py and shown.py show them to people."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from mmkg_sdk.errors import DataError
from mmkg_sdk.families.measuring import Tokens
from mmkg_sdk.files.atomic import write_atomically
from mmkg_sdk.files.regular import open_regular, read_whole

from ..machine.ceilings import Ceilings
from ..machine.conditions import load_remark
from ..machine.work import Bound
from .percentiles import Numbers

# What the width of a model is called in the configurations of the families, and in print.
_WIDTHS = {"embedding_dim": "d", "hidden_dim": "d", "text_width": "text d", "image_width": "image d"}

FORMAT_VERSION = 5
# Version 4 had no rows of a GPU's stages, and so no k.
_READ_VERSIONS = (4, FORMAT_VERSION)
SweepMode = Literal["cold-start", "single-stream", "offline", "server", "throughput"]
# The stages of an answer on a GPU (bench/gpu), the quickest to tell something first.
GpuMode = Literal["gpu-scan", "gpu-query", "gpu-answer", "gpu-encode"]
Mode = SweepMode | GpuMode
RESULTS_JSON, RESULTS_CSV, THROUGHPUT_PNG, REPORT_HTML = "results.json", "results.csv", "throughput.png", "report.html"

# Graph -> provider of ONNX Runtime -> operator -> nodes that went there.
Providers = Mapping[str, Mapping[str, Mapping[str, int]]]

# Unit, kind of tokens, and the batch size where one was asked for.
Panel = tuple[str, Tokens, int | None]


@dataclass(frozen=True)
class Row:
    """One contender at one place.

    Attributes:
        mode: "throughput": `unit` per second at `token_count` of `tokens` (see Curve). "single-stream": latency of
            questions, one after the other (questions.py). "offline": `unit` per second in large lists. "server":
            latency when questions arrive at random moments (arrivals.py). "cold-start": see cold_start.py. "gpu-scan":
            the best `k` rows of the table for query vectors; "gpu-query": query vectors; "gpu-answer": from labels to
            labels; "gpu-encode": entities of `token_count` tokens; see report/gpu_tables.py.
        batch: what goes in at a time: entities per run of the graph, questions per call, or at most so many ("server").
        own_batch: whether that is the SDK's own choice, rather than what was asked for.
        load: share of the contender's offline rate at which questions arrive.
        status: "failed" places have no number, and `note` says why; so it does for what was "not measured".
        samples: how many times or rates the numbers stand for, of all rounds together.
        max_difference: largest absolute difference of the outputs from those of the reference contender.
        bound: the ceiling that binds, of arithmetic or of reading memory.
        no_work: why operations and bytes, or their share of a ceiling, are not known.
        sustained: whether the contender kept up with the arrivals in every round; None if too few came to say.
        numbers: what was found, by name; None is what the samples do not carry or the system does not say. Times in
            milliseconds, memory in MiB; percentiles.py says what _low and _high are.
            "throughput" and "offline": per_second (median), per_second_low, _high, _min, _max. "throughput" also
            flop_per_item, bytes_per_item (work.py), gflop_per_second, gb_per_second, ceiling_per_second (items), and
            percent_of_ceiling; `no_work` says why not.
            "single-stream" and "server": latency_ms_p50, _p90, _p99, _p99.9, _min, _max, and _p50_low, _p50_high,
            _p99_low, _p99_high; "server" also offered_per_second.
            "cold-start": first_answer_ms (from the start of the process), of which import_ms, load_ms and answer_ms;
            resident_mib, peak_mib; with _low and _high.
            The modes of a GPU: as of "throughput", for two calls in flight; gpu_ms_... (by events, caches flushed),
            gpu_warm_ms_..., gpu_graph_ms_... (as a CUDA graph), enqueue_ms_..., latency_ms_... (host to host),
            h2d_ms_..., d2h_ms_..., each with percentiles; first_ms; served_ms_p50, _p99 at offered_per_second;
            mj_per_item, watts; sm_mhz, sm_mhz_min, memory_mhz, temperature_c, gpu_peak_mib (of the whole GPU);
            right_ids (share of the answers that are the CPU's).
        k: answers per query, where a GPU's stage ranks.
    """

    mode: Mode
    contender: str
    backend: str
    device: str
    graph: str | None
    tokens: Tokens | None
    token_count: int | None
    batch: int | None
    own_batch: bool
    load: float | None
    unit: str | None
    status: Literal["measured", "failed", "not measured"]
    samples: int = 0
    rounds: int = 0
    items_per_sample: int | None = None
    max_difference: float | None = None
    bound: Bound | None = None
    no_work: str | None = None
    sustained: bool | None = None
    note: str | None = None
    numbers: Numbers = field(default_factory=dict)
    k: int | None = None

    @property
    def on_gpu(self) -> bool:
        """Whether it is a stage on a GPU."""
        return self.mode in get_args(GpuMode)

    @property
    def panel(self) -> Panel | None:
        """Where it is drawn and listed; None for what has no tokens."""
        return (self.unit, self.tokens, None if self.own_batch else self.batch) if self.unit and self.tokens else None


@dataclass(frozen=True)
class BenchReport:
    """What was measured, and under which conditions.

    Attributes:
        complete: False while the sweep runs, and for ever if it was interrupted.
        bundle: name, family, precision and config of what was measured, its size in bytes, and the seconds that its
            export took on the machine that made it (None: an older bundle).
        settings: modes, token_counts, batch_sizes (null is the SDK's own), seconds, rounds, threads, omp_wait_policy,
            seed, reference.
        environment: see `environment`; with the load before and after, and `other_load`, the cores that other work took
            meanwhile. Of a GPU's stages also `providers`, by contender: see Providers.
        ceilings: what the machine can do, measured in the same run.
    """

    complete: bool
    bundle: dict[str, Any]
    settings: dict[str, Any]
    environment: dict[str, Any]
    ceilings: Ceilings
    rows: tuple[Row, ...]

    def to_json(self) -> dict[str, Any]:
        """What results.json holds."""
        return {
            "format_version": FORMAT_VERSION,
            "complete": self.complete,
            "bundle": self.bundle,
            "settings": self.settings,
            "environment": self.environment,
            "ceilings": self.ceilings.to_json(),
            "rows": [asdict(row) for row in self.rows],
        }

    def save(self, folder: Path) -> None:
        """Write results.json and results.csv, each the old one or the new one at any time."""
        text = json.dumps(self.to_json(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        write_atomically(folder / RESULTS_JSON, text.encode("utf-8"))
        write_atomically(folder / RESULTS_CSV, self.csv().encode("utf-8"))

    def csv(self) -> str:
        """One line per row, with a column for every number that any row has."""
        names = [one.name for one in fields(Row) if one.name != "numbers"]
        names += dict.fromkeys(name for row in self.rows for name in row.numbers)
        lines = io.StringIO()
        writer = csv.DictWriter(lines, names, lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(asdict(row) | row.numbers for row in self.rows)
        return lines.getvalue()

    def of_mode(self, *modes: Mode) -> list[Row]:
        """The rows of some modes, in order."""
        return [row for row in self.rows if row.mode in modes]

    def panels(self) -> list[Panel]:
        """What throughput was measured of, in the order of the rows."""
        return list(dict.fromkeys(row.panel for row in self.rows if row.panel))

    def curve(self, contender: str, panel: Panel) -> list[Row]:
        """A contender's measured points of one panel, by token count."""
        rows = [row for row in self.rows if row.contender == contender and row.panel == panel]
        return sorted((row for row in rows if row.status == "measured"), key=lambda row: row.token_count or 0)

    def contenders(self) -> list[str]:
        """The names in the order of the rows."""
        return list(dict.fromkeys(row.contender for row in self.rows))

    def conditions(self) -> str:
        """Processor, threads, model and precision in one line."""
        found, bundle = self.environment, self.bundle
        config = bundle["config"]
        widths = [f"{sign}={config[name]}" for name, sign in _WIDTHS.items() if name in config]
        where = f"{found['cpu']}, {self.settings['threads']} of {found['usable_cores']} cores"
        if gpu := found.get("gpu"):
            where = f"{gpu['name']}; host: {where}"
        return ", ".join([f"{where}; {bundle['family']} {bundle['precision']}", *widths])

    def remarks(self) -> list[str]:
        """What a reader must know beside the numbers: failed places, other load, an unfinished sweep."""
        remarks = list(dict.fromkeys(f"{row.contender}: {row.status}: {row.note}" for row in self.rows if row.note))
        remarks += dict.fromkeys(f"No share of a ceiling: {row.no_work}." for row in self.rows if row.no_work)
        remarks += self.environment.get("remarks", [])
        remarks += load_remark(self.environment)
        if not self.complete:
            remarks.append("The sweep did not finish.")
        return remarks


def read_results(path: str | Path, command: str = "bench run") -> dict[str, Any]:
    """What a results.json holds, of whichever command that gives its format a number.

    Args:
        command: whose it is expected to be, for messages.

    Raises:
        DataError: the file cannot be read, or holds something else.
    """
    expected = f"Expected a results.json of `mmkg-sdk {command}`."
    try:
        with open_regular(Path(path)) as file:
            found = json.loads(read_whole(file, Path(path)))
    except OSError as err:
        raise DataError(f"cannot read {path}: {err.strerror}. {expected}") from err
    except ValueError as err:
        raise DataError(f"{path} is not JSON ({err}). {expected}") from err
    if not isinstance(found, dict) or "format_version" not in found:
        raise DataError(f"{path} has no format_version. {expected}")
    return found


def check_version(found: Mapping[str, Any], path: str | Path, versions: Sequence[int]) -> None:
    """A DataError for results of a format that is not read."""
    if found["format_version"] not in versions:
        raise DataError(
            f"{path} is of format version {found['format_version']!r:.20}, this mmkg_sdk reads "
            f"{' and '.join(map(str, versions))}. "
            "Measure again, or compare it with the version that wrote it."
        )


def read_report(path: str | Path) -> BenchReport:
    """A report from its results.json.

    Raises:
        DataError: the file cannot be read, is no such report, or is one of another format version.
    """
    found = read_results(path)
    if (command := found.get("benchmark")) is not None:
        raise DataError(f"{path} is of `bench {command!s:.40}`. Expected a results.json of `mmkg-sdk bench run`.")
    check_version(found, path, _READ_VERSIONS)
    try:
        rows = tuple(_row(row) for row in found["rows"])
        parts = {name: dict(found[name]) for name in ("bundle", "settings", "environment")}
        ceilings = Ceilings.from_json(found["ceilings"])
        return BenchReport(bool(found["complete"]), rows=rows, ceilings=ceilings, **parts)
    except (KeyError, TypeError, ValueError) as err:
        raise DataError(f"{path} is damaged ({type(err).__name__}: {err}). Measure again.") from err


def _row(found: dict[str, Any]) -> Row:
    row = Row(**found)
    if any(not _is_number(value) for value in row.numbers.values()):
        raise ValueError(f"a number of {row.mode}, {row.contender} is none")
    return row


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def axis_name(tokens: Tokens) -> str:
    """What is counted, in words."""
    return "tokens" if tokens == "all" else f"{tokens} tokens"


def known(rows: Iterable[Row], name: str) -> list[tuple[Row, float]]:
    """The rows that have a number, and it."""
    return [(row, value) for row in rows if (value := row.numbers.get(name)) is not None]
