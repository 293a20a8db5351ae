"""run_benchmark: every contender at every point of every curve, in turn, over several rounds."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from mmkg_sdk.backends.base import parse_device
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.families.measuring import Counts, measuring
from mmkg_sdk.kernels import default_threads

from ..machine.ceilings import Ceilings, measure_ceilings
from ..machine.conditions import Watch
from ..machine.turns import Contestants, check_turns
from ..machine.worker_process import WAIT_POLICY, ContenderError, PointError
from ..report.page import write_page
from ..report.png import check_plotting, draw_plots
from ..report.results import REPORT_HTML, THROUGHPUT_PNG, BenchReport
from ..report.shown import report_page, throughput_plots
from .cold_start import cold_start
from .counts import chosen_counts
from .measurements import contender_job
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
    device: str = "cpu",
    threads: int | None = None,
    seconds: float = 1.0,
    rounds: int = 2,
    plot: bool = True,
    ceilings: Ceilings | None = None,
    progress: Callable[[str], None] = lambda message: None,
) -> BenchReport:
    """Measure a bundle and write results.json, results.csv, throughput.png and report.html.

    In every round each contender gets a fresh process; at every point they take turns, in alternating order.
    The files are rewritten after every point. A point that fails is a marked row, and the sweep goes on.

    Args:
        bundle: the bundle's folder.
        out: folder for the results; those of an earlier run in it are replaced.
        token_counts: what to measure throughput against, by kind: "all" for families that encode entities, "text" and
            "visual" for the others. None, and kinds that are not named: the family's own choice.
        modes: some of MODES (places.py); None = all.
        batch_sizes: entities per run of an entity encoder, each another dimension of its throughput; None among them,
            and by default, is what the SDK chooses.
        device: where every contender runs, as `mmkg_sdk.load` names it.
        threads: CPU threads of every contender; None takes `default_threads()`.
        seconds: measuring time per contender, point and round.
        rounds: how often everything is repeated.
        plot: draw throughput.png and report.html, which need matplotlib and plotly.
        ceilings: of this machine, where the caller measured them just now; None measures them.
        progress: is told what happens, one line at a time.

    Raises:
        BundleError: the bundle cannot be opened.
        QueryError: modes, token counts, batch sizes, threads, seconds or rounds out of range.
        BackendError: no name of a device; matplotlib or plotly is not installed and `plot` is true.
    """
    parse_device(device)
    opened = Bundle.open(bundle)
    counts = chosen_counts(opened, token_counts or {})
    threads = default_threads() if threads is None else threads
    chosen, batches = chosen_modes(modes), chosen_batches(opened, batch_sizes)
    check_turns(threads, seconds, rounds)
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
        "reference": next(one.name for one in measuring(opened.family).contenders(opened) if one.is_reference),
    }
    if ceilings is None:
        progress("measuring what the machine can do")
        ceilings = measure_ceilings(device, threads, seconds)
    sweep = _Sweep(opened, folder, device, places(opened, chosen, counts, batches), settings, ceilings, progress)
    for number in range(rounds):
        sweep.round(number)
    report = sweep.finish()
    if plot:
        draw_plots(throughput_plots(report), report.conditions(), folder / THROUGHPUT_PNG)
        write_page(report_page(report), folder / REPORT_HTML)
    return report


class _Sweep:
    """The state of one benchmark."""

    def __init__(
        self,
        bundle: Bundle,
        folder: Path,
        device: str,
        where: list[Place],
        settings: dict[str, Any],
        ceilings: Ceilings,
        progress: Callable[[str], None],
    ) -> None:
        self.bundle, self.folder, self.places, self.progress = bundle, folder, where, progress
        self.ceilings, self.settings, self.threads = ceilings, settings, settings["threads"]
        self.watch = Watch.start(self.threads, bundle.path, device=device)
        family = measuring(bundle.family)
        self.contenders = {one.name: one for one in family.contenders(bundle)}
        curves = list(dict.fromkeys(place.curve for place in where if place.curve))
        self.jobs = {
            name: contender_job(one, bundle, device, self.threads, () if one.answers else curves)
            for name, one in self.contenders.items()
            if family.absence(bundle, one, device) is None
        }
        self.points = {
            (name, place): SweepPoint(one, place, bundle, device, ceilings)
            for name, one in self.contenders.items()
            for place in self.places
            if (one.encodes if place.curve else one.answers)
        }
        for name, one in self.contenders.items():
            if absence := family.absence(bundle, one, device):
                self._rule_out(name, absence)

    def round(self, number: int) -> None:
        """One fresh process per contender, and every place in turn."""
        # None is measured while another still loads.
        contestants = Contestants("sweep.measurements", self.jobs, self.threads, at_once=True)
        with contestants, tempfile.TemporaryDirectory() as vectors:
            for name, why in contestants.absent.items():
                self._rule_out(name, why)
            for turn, place in enumerate(self.places):
                self.progress(f"round {number + 1}: {place}")
                files: dict[str, Path] = {}
                for name in contestants.in_turn(number):
                    point = self.points.get((name, place))
                    if point is not None and point.open:
                        files[name] = Path(vectors) / f"{len(files)}-{turn}.npy"
                        self._measure(point, contestants, files[name], number)
                self._compare(place, files)
                self.report(complete=False).save(self.folder)

    def report(self, *, complete: bool) -> BenchReport:
        """What is known by now."""
        manifest = self.bundle.manifest
        described = {"name": self.bundle.path.name}
        described |= {name: manifest[name] for name in ("family", "precision", "config")}
        described["bytes"] = sum(entry["bytes"] for entry in manifest["files"].values())
        described["export_seconds"] = manifest["provenance"].get("export_seconds")
        rows = tuple(point.row() for point in self.points.values())
        return BenchReport(complete, described, self.settings, dict(self.watch.found), self.ceilings, rows)

    def finish(self) -> BenchReport:
        """Add the conditions after the sweep and write everything."""
        self.watch.finish()
        report = self.report(complete=True)
        report.save(self.folder)
        return report

    def _measure(self, point: SweepPoint, contestants: Contestants, outputs: Path, number: int) -> None:
        name = point.contender.name
        try:
            if point.place.mode == "cold-start":
                point.add(cold_start(self.jobs[name]))
            elif request := self._request(point, outputs, number):
                point.add(contestants.ask(name, request))
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
        replies = self.points[point.contender.name, offline].replies
        return float(np.median(replies[0]["per_second"])) * (point.place.load or 0) if replies else None

    def _compare(self, place: Place, files: dict[str, Path]) -> None:
        """The largest difference of every contender's outputs from the reference's."""
        reference = files.get(self.settings["reference"])
        if reference is None or not reference.is_file():
            return
        expected = np.load(reference, allow_pickle=False)
        for name, path in files.items():
            if path.is_file():
                point = self.points[name, place]
                difference = float(np.abs(np.load(path, allow_pickle=False) - expected).max())
                point.max_difference = max(difference, point.max_difference or 0.0)

    def _rule_out(self, name: str, why: str) -> None:
        for (contender, _), point in self.points.items():
            if contender == name:
                point.note = why
