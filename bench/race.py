"""A race of rankers: the k best rows of a table, by the compiled kernels and by their peers, side by side.

Every ranker has a process of its own; at every point all are open at once and take turns over several rounds, so that
what else the machine does meets all of them alike. Vectors are random numbers. Beside every time stands how many of the
ids agree with the kernel's, the work done per second, and how that compares with what the machine was seen to do in
the same run.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import numpy as np

from mmkg_sdk.errors import QueryError
from mmkg_sdk.files import write_atomically
from mmkg_sdk.scores import CandidateScore, ComplexDistance, InnerProduct

from .environment import environment, is_loaded, load_average, other_load, usable_cores
from .rankers import RANKERS, takes_part
from .worker_process import ContenderError, PointError, WorkerProcess

_LIMITS = {"rows": 1 << 27, "width": 1 << 16, "batch": 1 << 16, "k": 1 << 16}


@dataclass(frozen=True)
class Point:
    """One task: the k best of `rows` vectors of `width` numbers, for `batch` queries at once."""

    score: Literal["inner-product", "distance"]
    rows: int
    width: int
    batch: int
    k: int
    seed: int = 0

    @property
    def candidate_score(self) -> CandidateScore:
        return InnerProduct() if self.score == "inner-product" else ComplexDistance(0.0)

    @property
    def gflop(self) -> float:
        """Multiplications and additions of all scores; a modulus counts as eight with its root."""
        return self.batch * self.rows * self.width * (2 if self.score == "inner-product" else 4) / 1e9

    @property
    def table_gb(self) -> float:
        return self.rows * self.width * 4 / 1e9


def run_race(
    points: Sequence[Point],
    out: str | Path,
    *,
    rankers: Sequence[str] = tuple(RANKERS),
    threads: int | None = None,
    seconds: float = 1.0,
    rounds: int = 3,
    progress: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Race the rankers and write a JSON file, anew after every point.

    Args:
        out: the file.
        rankers: names from RANKERS; one that cannot run is a row that says why.
        threads: of each; None = all cores that this process may use.
        seconds: measuring time per ranker, point and round.

    Returns:
        What was written: "rows", one per point and ranker, with ms_p50, ms_min and ms_max; the machine's "ceilings";
        "environment".

    Raises:
        QueryError: a size or setting out of range, an unknown ranker, or `out` is a folder.
    """
    threads = usable_cores() if threads is None else threads
    _check(points, rankers, threads, seconds, rounds)
    if Path(out).is_dir():
        raise QueryError(f"{out} is a folder; expected a file to write, such as {Path(out) / 'race.json'}.")
    before = load_average()
    result: dict[str, Any] = {
        "complete": False,
        "settings": {"threads": threads, "seconds": seconds, "rounds": rounds},
        "ceilings": ceilings(threads),
        "rows": [],
        "environment": environment(threads=threads) | {"load_average_before": before},
    }
    for point in points:
        progress(f"{point.score}: {point.rows:,} rows of {point.width}, batch {point.batch}, k={point.k}")
        result["rows"] += _race_point(point, rankers, threads, seconds, rounds, result["ceilings"])
        _write(Path(out), result)
    load = other_load(before, load_average(), threads)
    result["complete"] = True
    result["environment"] |= {"other_load": load, "loaded_machine": is_loaded(load, usable_cores())}
    _write(Path(out), result)
    return result


def ceilings(threads: int) -> dict[str, float]:
    """What this machine does now: GB/s of reading memory with all threads, and GFLOP/s of numpy's float32 product.

    The product is a library's, not the processor's limit: a kernel may be above it.
    """
    parts = np.array_split(np.ones(1 << 27, np.float32), threads)
    square = np.random.default_rng(0).standard_normal((2048, 2048), np.float32)
    reading, multiplying = [], []
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(5):
            began = perf_counter()
            list(pool.map(np.max, parts))
            reading.append(perf_counter() - began)
            began = perf_counter()
            square @ square
            multiplying.append(perf_counter() - began)
    return {
        "read_gb_per_second": round(4 * (1 << 27) / min(reading) / 1e9, 1),
        "numpy_gflop_per_second": round(2 * 2048**3 / min(multiplying) / 1e9, 1),
    }


def race_table(result: dict[str, Any]) -> str:
    """The rows for people: milliseconds, and how often the kernel is as fast as each peer."""
    lines = []
    for point in dict.fromkeys(tuple(sorted(row["point"].items())) for row in result["rows"]):
        rows = [row for row in result["rows"] if tuple(sorted(row["point"].items())) == point]
        size = dict(point)
        lines.append(f"{size['score']}, {size['rows']:,} x {size['width']}, batch {size['batch']}, k={size['k']}")
        own = rows[0].get("ms_p50")
        for row in rows:
            if row["ms_p50"] is None:
                lines.append(f"  {row['ranker']:<38} {row['status']}: {row['note']}")
                continue
            ratio = f"  {row['ms_p50'] / own:5.2f}x" if own else ""
            lines.append(
                f"  {row['ranker']:<38} {row['ms_p50']:10.3f} ms{ratio}  {row['gflop_per_second']:7.1f} GFLOP/s  "
                f"{row['table_gb_per_second']:6.1f} GB/s  agrees {row['agreement']:.4f}"
            )
    found = result["ceilings"]
    lines.append(
        f"this machine: reads {found['read_gb_per_second']} GB/s, numpy multiplies at "
        f"{found['numpy_gflop_per_second']} GFLOP/s"
    )
    if result["environment"].get("loaded_machine"):
        lines.append("Other work took cores meanwhile: compare these numbers with each other only.")
    return "\n".join(lines)


def _race_point(
    point: Point, rankers: Sequence[str], threads: int, seconds: float, rounds: int, limits: dict[str, float]
) -> list[dict[str, Any]]:
    samples: dict[str, list[float]] = {name: [] for name in rankers}
    notes = {name: note for name in rankers if (note := takes_part(name, point.candidate_score))}
    with ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder) / f"{i}.npy" for i, name in enumerate(rankers)}
        workers = {}
        for name in rankers:
            if name not in notes:
                job = {"name": name, "point": asdict(point), "threads": threads, "ids": str(files[name])}
                workers[name] = stack.enter_context(WorkerProcess("race_worker", job, threads))
                # One after the other: choosing a block is a measurement, too.
                try:
                    workers[name].wait_until_ready()
                except (PointError, ContenderError) as err:
                    notes[name] = str(err)
        for number in range(rounds):
            for name in list(workers)[:: -1 if number % 2 else 1]:
                if name not in notes:
                    try:
                        samples[name] += workers[name].ask({"seconds": seconds})["ms"]
                    except (PointError, ContenderError) as err:
                        notes[name] = str(err)
        ids = {name: np.sort(np.load(files[name])) for name in rankers if files[name].is_file()}
    return [_row(point, name, samples[name], notes.get(name), ids, rankers[0], limits) for name in rankers]


def _row(
    point: Point,
    name: str,
    samples: list[float],
    note: str | None,
    ids: dict[str, Any],
    reference: str,
    limits: dict[str, float],
) -> dict[str, Any]:
    row: dict[str, Any] = {"point": asdict(point), "ranker": name, "samples": len(samples), "note": note}
    if not samples or note:
        status = "not measured" if note and not samples else "failed"
        return row | {"status": status, "ms_p50": None}
    p50, least, most = (round(float(value), 4) for value in np.percentile(samples, [50, 0, 100]))
    agreement = None
    if reference in ids:
        agreement = float(np.mean([np.isin(a, b).mean() for a, b in zip(ids[name], ids[reference], strict=True)]))
    gflop, read = point.gflop / p50 * 1e3, point.table_gb / p50 * 1e3
    return row | {
        "status": "measured",
        "ms_p50": p50,
        "ms_min": least,
        "ms_max": most,
        "agreement": agreement,
        "gflop_per_second": round(gflop, 2),
        # Of the float32 table read once; what lies in a cache is read faster than memory.
        "table_gb_per_second": round(read, 2),
        "share_of_reading": round(read / limits["read_gb_per_second"], 3),
        "share_of_numpy_product": round(gflop / limits["numpy_gflop_per_second"], 3),
    }


def _write(path: Path, result: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, (json.dumps(result, indent=1) + "\n").encode())


def _check(points: Sequence[Point], rankers: Sequence[str], threads: int, seconds: float, rounds: int) -> None:
    for point in points:
        for name, most in _LIMITS.items():
            if not 1 <= getattr(point, name) <= most:
                raise QueryError(f"{name} is {getattr(point, name)}; expected 1 to {most:,}.")
        if point.k > point.rows:
            raise QueryError(f"k is {point.k}, but there are {point.rows} rows; expected at most as many.")
        if point.score == "distance" and point.width % 2:
            raise QueryError(f"width is {point.width}; a distance needs real and imaginary parts, so an even number.")
    for name in rankers:
        if name not in RANKERS:
            raise QueryError(f"unknown ranker {name!r}; expected some of {', '.join(RANKERS)}.")
    if not points or not rankers:
        raise QueryError("nothing to race: expected at least one point and one ranker.")
    if not 1 <= threads <= 1024 or not 0 < seconds <= 3600 or not 1 <= rounds <= 100:
        raise QueryError(
            f"threads {threads}, seconds {seconds}, rounds {rounds}; expected 1 to 1,024, up to 3,600, and 1 to 100."
        )
