"""run_benchmark: every contender at every point of every curve, in turn, over several rounds."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mmkg_sdk.bundle import Bundle
from mmkg_sdk.errors import QueryError

from .contenders import REFERENCE, Contender, contenders
from .curves import Counts, Curve, Tokens, axis_name, chosen_counts, curves
from .environment import environment, is_loaded, load_average, other_load, usable_cores
from .plot import check_matplotlib, draw_throughput
from .report import THROUGHPUT_PNG, BenchReport, Row
from .worker_process import WAIT_POLICY, ContenderError, PointError, WorkerProcess

SEED = 0


# A curve and a number of tokens, or None: single queries.
Place = tuple[Curve, int] | None


@dataclass
class _Point:
    """What the rounds found so far for one contender at one place."""

    contender: Contender
    place: Place
    samples: list[float] = field(default_factory=list)
    rounds: int = 0
    items_per_sample: int | None = None
    max_difference: float | None = None
    note: str | None = None
    failed: bool = False

    @property
    def open(self) -> bool:
        """Whether another round should try it: what failed once or cannot be is left alone."""
        return self.note is None

    def row(self) -> Row:
        curve, count = self.place or (None, None)
        numbers: dict[str, Any] = {}
        if self.samples:
            names = ("_p50", "_min", "_max", "_p99") if curve is None else ("", "_min", "_max")
            unit = "latency_ms" if curve is None else "per_second"
            values = [float(value) for value in np.percentile(self.samples, [50, 0, 100, 99])]
            numbers = {f"{unit}{suffix}": value for suffix, value in zip(names, values, strict=False)}
        return Row(
            mode="query" if curve is None else "throughput",
            contender=self.contender.name,
            backend=self.contender.backend,
            device="cpu",
            graph=self.contender.graph(curve) if curve else None,
            tokens=curve.tokens if curve else None,
            token_count=count,
            unit=curve.unit if curve else None,
            status="measured" if self.samples else "failed" if self.failed else "not measured",
            samples=len(self.samples),
            rounds=self.rounds,
            items_per_sample=self.items_per_sample,
            max_difference=self.max_difference,
            note=self.note,
            **numbers,
        )


def run_benchmark(
    bundle: str | Path,
    out: str | Path,
    token_counts: Counts | None = None,
    *,
    threads: int | None = None,
    seconds: float = 1.0,
    rounds: int = 2,
    plot: bool = True,
    progress: Callable[[str], None] = lambda message: None,
) -> BenchReport:
    """Measure a bundle on the CPU and write results.json, results.csv and throughput.png.

    In every round each contender gets a fresh process; at every point they take turns, in alternating order.
    The files are rewritten after every point. A point that fails is a marked row, and the sweep goes on.

    Args:
        bundle: the bundle's folder.
        out: folder for the results; those of an earlier run in it are replaced.
        token_counts: what to measure throughput against, by kind: "all" for families that encode entities, "text" and
            "visual" for the others. None, and kinds that are not named: the family's own choice (curves.py).
        threads: CPU threads of every contender; None = all cores that this process may use.
        seconds: measuring time per contender, point and round.
        rounds: how often everything is repeated.
        plot: draw throughput.png, which needs matplotlib.
        progress: is told what happens, one line at a time.

    Raises:
        BundleError: the bundle cannot be opened.
        QueryError: token counts, threads, seconds or rounds out of range.
        BackendError: matplotlib is not installed and `plot` is true.
    """
    opened = Bundle.open(bundle)
    counts = chosen_counts(opened, token_counts or {})
    threads = usable_cores() if threads is None else threads
    _check(threads, seconds, rounds)
    if plot:
        check_matplotlib()
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / THROUGHPUT_PNG).unlink(missing_ok=True)
    sweep = _Sweep(opened, folder, counts, threads, seconds, rounds, progress)
    for number in range(rounds):
        sweep.round(number)
    report = sweep.finish()
    if plot:
        draw_throughput(report, folder / THROUGHPUT_PNG)
    return report


class _Sweep:
    """The state of one benchmark."""

    def __init__(
        self,
        bundle: Bundle,
        folder: Path,
        counts: dict[Tokens, tuple[int, ...]],
        threads: int,
        seconds: float,
        rounds: int,
        progress: Callable[[str], None],
    ) -> None:
        self.bundle, self.folder, self.progress = bundle, folder, progress
        self.threads, self.seconds = threads, seconds
        self.contenders = contenders(bundle)
        # Queries first, then every curve.
        self.places: list[Place] = [None]
        self.places += [(curve, count) for curve in curves(bundle) for count in counts[curve.tokens]]
        self.settings = {
            "token_counts": {kind: list(numbers) for kind, numbers in counts.items()},
            "seconds": seconds,
            "rounds": rounds,
            "threads": threads,
            "omp_wait_policy": WAIT_POLICY,
            "seed": SEED,
            "reference": REFERENCE.name,
        }
        self.environment = environment(bundle.path, threads)
        self.environment["load_average_before"] = self.environment.pop("load_average")
        self.points = {
            (contender, place): _Point(contender, place)
            for contender in self.contenders
            for place in self.places
            if place or contender.answers
        }
        for contender in self.contenders:
            if absence := contender.absence(bundle):
                self._rule_out(contender, absence)

    def round(self, number: int) -> None:
        """One fresh process per contender, and every place in turn."""
        order = self.contenders[:: -1 if number % 2 else 1]
        with ExitStack() as stack, tempfile.TemporaryDirectory() as vectors:
            workers = {
                contender: stack.enter_context(WorkerProcess(self.bundle.path.absolute(), contender, self.threads))
                for contender in order
                if contender.absence(self.bundle) is None
            }
            self._start(workers)
            for turn, place in enumerate(self.places):
                where = f"{place[0].graph}, {place[1]} {axis_name(place[0].tokens)}" if place else "single queries"
                self.progress(f"round {number + 1}: {where}")
                files: dict[Contender, Path] = {}
                for contender, worker in workers.items():
                    point = self.points.get((contender, place))
                    if point is not None and point.open:
                        files[contender] = Path(vectors) / f"{len(files)}-{turn}.npy"
                        self._measure(point, worker, files[contender])
                self._compare(place, files)
                self.report(complete=False).save(self.folder)

    def _start(self, workers: dict[Contender, WorkerProcess]) -> None:
        """Let all processes come up at once, and wait for the last: none is measured while another still loads."""
        for worker in workers.values():
            worker.launch()
        for contender, worker in workers.items():
            try:
                worker.wait_until_ready()
            except ContenderError as err:
                self._rule_out(contender, str(err))
            except PointError:
                pass  # it is started anew for each of its points, and fails there

    def report(self, *, complete: bool) -> BenchReport:
        """What is known by now."""
        manifest = self.bundle.manifest
        described = {"name": self.bundle.path.name}
        described |= {name: manifest[name] for name in ("family", "precision", "config")}
        rows = tuple(point.row() for point in self.points.values())
        return BenchReport(complete, described, self.settings, dict(self.environment), rows)

    def finish(self) -> BenchReport:
        """Add the conditions after the sweep and write everything."""
        before, after = self.environment["load_average_before"], load_average()
        load = other_load(before, after, self.threads)
        self.environment["load_average_after"] = after
        self.environment["other_load"] = load
        self.environment["loaded_machine"] = is_loaded(load, usable_cores())
        report = self.report(complete=True)
        report.save(self.folder)
        return report

    def _measure(self, point: _Point, worker: WorkerProcess, outputs: Path) -> None:
        request: dict[str, Any] = {"mode": "query", "seconds": self.seconds, "seed": SEED}
        if point.place:
            curve, count = point.place
            request |= {"mode": "throughput", **asdict(curve), "token_count": count, "outputs": str(outputs)}
        try:
            reply = worker.ask(request)
        except (ContenderError, PointError) as err:
            point.note, point.failed = str(err), True
        else:
            point.samples += reply["per_second" if point.place else "latency_ms"]
            point.items_per_sample = reply.get("items_per_sample")
            point.rounds += 1
        self.report(complete=False).save(self.folder)

    def _compare(self, place: Place, files: dict[Contender, Path]) -> None:
        """The largest difference of every contender's outputs from the reference's."""
        if REFERENCE not in files or not files[REFERENCE].is_file():
            return
        expected = np.load(files[REFERENCE], allow_pickle=False)
        for contender, path in files.items():
            if path.is_file():
                point = self.points[contender, place]
                difference = float(np.abs(np.load(path, allow_pickle=False) - expected).max())
                point.max_difference = max(difference, point.max_difference or 0.0)

    def _rule_out(self, contender: Contender, why: str) -> None:
        for point in self.points.values():
            if point.contender == contender:
                point.note = why


def _check(threads: int, seconds: float, rounds: int) -> None:
    if not 1 <= threads <= 1024:
        raise QueryError(f"threads is {threads}; expected 1 to 1,024.")
    if not 0 < seconds <= 3600:
        raise QueryError(f"seconds is {seconds}; expected more than 0, at most 3,600, per contender and point.")
    if not 1 <= rounds <= 100:
        raise QueryError(f"rounds is {rounds}; expected 1 to 100.")
