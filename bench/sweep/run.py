"""run_benchmark: every contender at every point of every curve, in turn, over several rounds."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from mmkg_sdk.bundle import Bundle
from mmkg_sdk.errors import QueryError

from ..machine.ceilings import Ceilings, measure_ceilings
from ..machine.environment import environment, is_loaded, load_average, moment, other_load, usable_cores
from ..machine.worker_process import WAIT_POLICY, ContenderError, PointError, WorkerProcess
from ..report.page import write_page
from ..report.plot import check_plotting, draw_throughput
from ..report.results import REPORT_HTML, THROUGHPUT_PNG, BenchReport
from .cold_start import cold_start
from .contenders import Contender, contenders, reference
from .curves import Counts, chosen_counts
from .places import Place, chosen_batches, chosen_modes, places
from .point import SweepPoint

SEED = 0


def run_benchmark(
    bundle: str | Path,
    out: str | Path,
    token_counts: Counts | None = None,
    *,
    modes: Sequence[str] | None = None,
    batch_sizes: Sequence[int | None] | None = None,
    threads: int | None = None,
    seconds: float = 1.0,
    rounds: int = 2,
    plot: bool = True,
    ceilings: Ceilings | None = None,
    progress: Callable[[str], None] = lambda message: None,
) -> BenchReport:
    """Measure a bundle on the CPU and write results.json, results.csv, throughput.png and report.html.

    In every round each contender gets a fresh process; at every point they take turns, in alternating order.
    The files are rewritten after every point. A point that fails is a marked row, and the sweep goes on.

    Args:
        bundle: the bundle's folder.
        out: folder for the results; those of an earlier run in it are replaced.
        token_counts: what to measure throughput against, by kind: "all" for families that encode entities, "text" and
            "visual" for the others. None, and kinds that are not named: the family's own choice (curves.py).
        modes: some of MODES (places.py); None = all.
        batch_sizes: entities per run of an entity encoder, each another dimension of its throughput; None among them,
            and by default, is what the SDK chooses.
        threads: CPU threads of every contender; None = all cores that this process may use.
        seconds: measuring time per contender, point and round.
        rounds: how often everything is repeated.
        plot: draw throughput.png and report.html, which need matplotlib and plotly.
        ceilings: of this machine, where the caller measured them just now; None measures them.
        progress: is told what happens, one line at a time.

    Raises:
        BundleError: the bundle cannot be opened.
        QueryError: modes, token counts, batch sizes, threads, seconds or rounds out of range.
        BackendError: matplotlib or plotly is not installed and `plot` is true.
    """
    opened = Bundle.open(bundle)
    counts = chosen_counts(opened, token_counts or {})
    threads = usable_cores() if threads is None else threads
    chosen, batches = chosen_modes(modes), chosen_batches(opened, batch_sizes)
    _check(threads, seconds, rounds)
    if plot:
        check_plotting()
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    for name in (THROUGHPUT_PNG, REPORT_HTML):
        (folder / name).unlink(missing_ok=True)
    settings = {
        "modes": list(chosen),
        "token_counts": {kind: list(numbers) for kind, numbers in counts.items()},
        "batch_sizes": list(batches),
        "seconds": seconds,
        "rounds": rounds,
        "threads": threads,
        "omp_wait_policy": WAIT_POLICY,
        "seed": SEED,
        "reference": reference(opened).name,
    }
    if ceilings is None:
        progress("measuring what the machine can do")
        ceilings = measure_ceilings(threads, seconds)
    sweep = _Sweep(opened, folder, places(opened, chosen, counts, batches), settings, ceilings, progress)
    for number in range(rounds):
        sweep.round(number)
    report = sweep.finish()
    if plot:
        draw_throughput(report, folder / THROUGHPUT_PNG)
        write_page(report, folder / REPORT_HTML)
    return report


class _Sweep:
    """The state of one benchmark."""

    def __init__(
        self,
        bundle: Bundle,
        folder: Path,
        where: list[Place],
        settings: dict[str, Any],
        ceilings: Ceilings,
        progress: Callable[[str], None],
    ) -> None:
        self.bundle, self.folder, self.places, self.progress = bundle, folder, where, progress
        self.ceilings, self.began = ceilings, moment()
        self.settings, self.threads = settings, settings["threads"]
        self.contenders, self.reference = contenders(bundle), reference(bundle)
        self.environment = environment(bundle.path, self.threads)
        self.environment["load_average_before"] = self.environment.pop("load_average")
        self.points = {
            (contender, place): SweepPoint(contender, place, bundle, ceilings)
            for contender in self.contenders
            for place in self.places
            if place.curve or contender.answers
        }
        for contender in self.contenders:
            if absence := contender.absence(bundle):
                self._rule_out(contender, absence)

    def round(self, number: int) -> None:
        """One fresh process per contender, and every place in turn."""
        order = self.contenders[:: -1 if number % 2 else 1]
        with ExitStack() as stack, tempfile.TemporaryDirectory() as vectors:
            workers = {
                contender: stack.enter_context(
                    WorkerProcess("sweep.worker", contender.job(self.bundle, self.threads), self.threads)
                )
                for contender in order
                if contender.absence(self.bundle) is None
            }
            self._start(workers)
            for turn, place in enumerate(self.places):
                self.progress(f"round {number + 1}: {place}")
                files: dict[Contender, Path] = {}
                for contender, worker in workers.items():
                    point = self.points.get((contender, place))
                    if point is not None and point.open:
                        files[contender] = Path(vectors) / f"{len(files)}-{turn}.npy"
                        self._measure(point, worker, files[contender], number)
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
        described["bytes"] = sum(entry["bytes"] for entry in manifest["files"].values())
        described["export_seconds"] = manifest["provenance"].get("export_seconds")
        rows = tuple(point.row() for point in self.points.values())
        return BenchReport(complete, described, self.settings, dict(self.environment), self.ceilings, rows)

    def finish(self) -> BenchReport:
        """Add the conditions after the sweep and write everything."""
        load = other_load(self.began, moment())
        self.environment["load_average_after"] = load_average()
        self.environment["other_load"] = load
        self.environment["loaded_machine"] = is_loaded(load, usable_cores())
        report = self.report(complete=True)
        report.save(self.folder)
        return report

    def _measure(self, point: SweepPoint, worker: WorkerProcess, outputs: Path, number: int) -> None:
        try:
            if point.place.mode == "cold-start":
                point.add(cold_start(self.bundle.path.absolute(), point.contender.backend, self.threads))
            elif request := self._request(point, outputs, number):
                point.add(worker.ask(request))
        except (ContenderError, PointError) as err:
            point.note, point.failed = str(err), True
        self.report(complete=False).save(self.folder)

    def _request(self, point: SweepPoint, outputs: Path, number: int) -> dict[str, Any] | None:
        """What the contender's process is asked; None if there is no rate to ask for, which the point then says."""
        place = point.place
        request = {"mode": place.mode, "batch": place.batch, "seconds": self.settings["seconds"], "seed": SEED}
        if place.curve:
            return {**request, **asdict(place.curve), "token_count": place.token_count, "outputs": str(outputs)}
        if place.load:
            if point.offered_per_second is None:
                point.offered_per_second = self._offered(point)
            if point.offered_per_second is None:
                point.note = "the offline rate is not known, of which its rate is a share"
                return None
            # Other bursts in every round, the same ones for every contender.
            request |= {"per_second": point.offered_per_second, "seed": SEED + number}
        return request

    def _offered(self, point: SweepPoint) -> float | None:
        """A share of what the contender did offline in the first round, so that all rounds have one rate."""
        (offline,) = (place for place in self.places if place.mode == "offline")
        replies = self.points[point.contender, offline].replies
        return float(np.median(replies[0]["per_second"])) * (point.place.load or 0) if replies else None

    def _compare(self, place: Place, files: dict[Contender, Path]) -> None:
        """The largest difference of every contender's outputs from the reference's."""
        if self.reference not in files or not files[self.reference].is_file():
            return
        expected = np.load(files[self.reference], allow_pickle=False)
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
