"""run_gpu_benchmark: every contender at every cell, in turn; results on disk after each.

NEVER RUN ON A GPU: the tests walk it on a processor, with a clock of the host.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from mmkg_sdk.backends.base import parse_device
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.errors import BackendError, QueryError
from mmkg_sdk.kernels import default_threads

from ..machine.ceilings import Ceilings, measure_ceilings
from ..machine.clock import ClockKind
from ..machine.conditions import Watch
from ..machine.gpus import gpu_absence
from ..machine.turns import Contestants, check_turns
from ..machine.worker_process import WAIT_POLICY, ContenderError, PointError
from ..report.page import write_page
from ..report.png import check_plotting
from ..report.results import REPORT_HTML, BenchReport, Providers
from ..report.shown import report_page
from .cells import cells_of
from .contenders import chosen_contenders
from .point import GpuPoint
from .power import open_meter
from .ranges import open_ranges
from .reference import Reference, difference
from .starts import Starts

SEED = 0
BEST = (10, 100)
# Whose packages' versions a reader wants.
PACKAGES = ("triton", "nvidia-ml-py", "tensorrt-cu13", "tensorrt_rtx", "flashlib", "jax", "onnxruntime-gpu")


def run_gpu_benchmark(
    bundle: str | Path,
    out: str | Path,
    *,
    device: str = "cuda:0",
    backends: Sequence[str] | None = None,
    stages: Sequence[str] | None = None,
    batches: Sequence[int] | None = None,
    best: Sequence[int] = BEST,
    token_counts: Sequence[int] | None = None,
    threads: int | None = None,
    seconds: float = 10.0,
    rounds: int = 1,
    nvtx: bool = False,
    transfers: bool = True,
    plot: bool = True,
    clock: ClockKind = "device",
    ceilings: Ceilings | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> BenchReport:
    """Measure a bundle on a GPU and write results.json, results.csv and report.html.

    The files are rewritten after every cell of every contender, so that a run that is cut off leaves what it did. A
    contender that is not installed, and a cell that fails, are rows that say why.

    Args:
        bundle: the bundle's folder.
        out: folder for the results; those of an earlier run in it are replaced.
        device: "cuda" or "cuda:N".
        backends: names from CONTENDERS; None takes all.
        stages: some of "gpu-scan", "gpu-query", "gpu-answer", "gpu-encode"; None takes all that the bundle has.
        batches: queries or entities at once; None takes 1, 32, 256 and 2,048, and of texts and images 1 and 32.
        best: numbers of answers per query.
        token_counts: tokens per entity; None takes the family's own.
        threads: of the CPU, for each contender.
        seconds: measuring time per contender, cell and round, for all that a row says together.
        nvtx: name cells for NVIDIA's profilers.
        transfers: whether host latencies hold the copies to and from the device.
        plot: write report.html, which needs plotly.
        clock: "host" stands for a GPU's events in tests, with device "cpu"; its numbers are no measurements of a GPU.
        ceilings: of the device, where the caller measured them just now.
        progress: is told what happens, one line at a time.

    Raises:
        BundleError: the bundle cannot be opened.
        QueryError: a number out of range, or an unknown name.
        BackendError: no name of a device, or no such GPU; nvtx or plotly is asked for and not installed.
    """
    if (parse_device(device)[0] == "cuda") != (clock == "device"):
        raise QueryError(
            f"device is {device!r}; expected 'cuda' or 'cuda:N'. A CPU is measured by `mmkg-sdk bench run`."
        )
    if clock == "device" and (absence := gpu_absence(parse_device(device)[1])):
        raise BackendError(f"device {device!r} asked for, but {absence}.")
    opened, threads = Bundle.open(bundle), default_threads() if threads is None else threads
    cells, chosen = cells_of(opened, stages, batches, best, token_counts), chosen_contenders(backends)
    check_turns(threads, seconds, rounds)
    open_ranges(asked=nvtx)
    if plot:
        check_plotting()
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / REPORT_HTML).unlink(missing_ok=True)
    if ceilings is None:
        progress("measuring what the GPU can do")
        ceilings = measure_ceilings(device, threads, seconds)
    settings: dict[str, Any] = {
        "stages": list(dict.fromkeys(cell.mode for cell in cells)),
        "token_counts": {"all": sorted({cell.token_count for cell in cells if cell.token_count})},
        "batches": sorted({cell.batch for cell in cells}),
        "k": sorted({cell.k for cell in cells if cell.k}),
        "seconds": seconds,
        "rounds": rounds,
        "threads": threads,
        "omp_wait_policy": WAIT_POLICY,
        "transfers": transfers,
        "clock": clock,
        "seed": SEED,
        "reference": next(iter(chosen)),
    }
    watch = Watch.start(threads, opened.path, PACKAGES, device=device)
    watch.found["remarks"] = _remarks(device, clock)
    providers: dict[str, dict[str, Any]] = {}
    watch.found["providers"] = providers
    points = {
        (name, cell): GpuPoint(name, way, cell, opened, device, ceilings)
        for cell in cells
        for name, way in chosen.items()
        if cell.mode in way.stages
    }

    def report(*, complete: bool) -> BenchReport:
        rows = (*(point.row() for point in points.values()), *(one.row() for one in starts.values()))
        return BenchReport(complete, _described(opened), settings, dict(watch.found), ceilings, rows)

    def save() -> None:
        report(complete=False).save(folder)

    job = {"bundle": str(opened.path.absolute()), "device": device, "clock": clock, "threads": threads}
    job |= {"seconds": seconds, "transfers": transfers, "nvtx": nvtx, "seed": SEED}
    jobs = {name: {**job, "contender": name} for name in chosen if any(who == name for who, _ in points)}
    starts = {name: Starts(name, way.backend, job) for name, way in chosen.items() if way.backend}
    save()
    with tempfile.TemporaryDirectory() as files:
        reference = Reference(opened.path, opened.precision, SEED)
        for number in range(rounds):
            with Contestants("gpu.measurements", jobs, threads, at_once=False) as contestants:
                for (name, _), point in points.items():
                    if name in contestants.absent:
                        point.note = contestants.absent[name]
                for turn, cell in enumerate(cells):
                    progress(f"round {number + 1}: {cell}")
                    for name in contestants.in_turn(number + turn):
                        asked = points.get((name, cell))
                        if asked is not None and asked.open:
                            if placed := _measure(asked, contestants, reference, Path(files)):
                                providers.setdefault(name, {}).update(placed)
                            save()
            # Last, when no other process of ours holds memory of the GPU.
            for name, one in starts.items():
                if name in contestants.absent:
                    one.rule_out(contestants.absent[name])
                else:
                    progress(f"round {number + 1}: first answer, {name}")
                    one.again()
                save()
        reference.close()
    watch.finish()
    found = report(complete=True)
    found.save(folder)
    if plot:
        write_page(report_page(found), folder / REPORT_HTML)
    return found


def _measure(point: GpuPoint, contestants: Contestants, reference: Reference, files: Path) -> Providers:
    """Another round of a point; gives where the nodes of its graphs went."""
    cell, outputs = point.cell, files / "outputs.npz"
    scan = cell.mode == "gpu-scan"
    queries = str(reference.queries(cell, files / "queries.npz")) if scan else None
    request = {"cell": asdict(cell), "outputs": str(outputs), "queries": queries}
    try:
        reply = contestants.ask(point.name, request)
    except (ContenderError, PointError) as err:
        point.note, point.failed = str(err), True
        return {}
    point.replies.append(reply)
    with np.load(outputs, allow_pickle=False) as found:
        point.agreement, point.right = difference(dict(found), reference.answer(cell))
    return reply["providers"]  # type: ignore[no-any-return]


def _remarks(device: str, clock: ClockKind) -> list[str]:
    """What a reader must know of all rows."""
    found = [] if clock == "device" else ["A clock of the host stands for a GPU's here: these are no times of a GPU."]
    meter = open_meter(device)
    return [*found, f"Not measured: {meter}"] if isinstance(meter, str) else found


def _described(bundle: Bundle) -> dict[str, Any]:
    manifest = bundle.manifest
    described = {"name": bundle.path.name, **{name: manifest[name] for name in ("family", "precision", "config")}}
    described["bytes"] = sum(entry["bytes"] for entry in manifest["files"].values())
    return described | {"export_seconds": manifest["provenance"].get("export_seconds")}
