"""What a contender does in its own process (machine/worker.py), cell by cell.

NEVER RUN ON A GPU.

Its job has bundle, contender, device, clock ("device", or "host" in tests), threads, seconds, transfers, nvtx, seed. A
request is a cell and {"outputs": FILE, "queries": FILE or null}; the reply has "samples" (timing.Samples), "providers"
(of the graphs that were opened by now), "rates", "served", "offered_per_second", "mj_per_item", "watts", "watched",
"throttled" and "open_ms".
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from mmkg_sdk import load
from mmkg_sdk.backends.onnxruntime import OnnxRuntimeBackend
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.errors import BackendError
from mmkg_sdk.families import contract
from mmkg_sdk.families.measuring import KERNELS

from ..machine.clock import DeviceClock, open_clock
from ..machine.worker import Answer
from ..report.results import Providers
from ..sweep.measure import served
from .calls import Call
from .cells import Cell
from .contenders import contender
from .power import Meter, Watching, open_meter
from .ranges import Range, open_ranges
from .reference import compared, open_call
from .scans import Scans
from .timing import IN_FLIGHT, rates_in_flight, timed

# Share of the rate of two in flight at which queries arrive in the open loop.
LOAD = 0.75
_TIMED, _FLYING, _SERVED = 0.5, 0.25, 0.25


def open_worker(job: Mapping[str, Any]) -> Answer:
    """What answers requests.

    Raises:
        BackendError: the contender is not installed, or cannot run here.
    """
    began = time.perf_counter()
    measured = _Measured(job)
    worker = _Worker(measured, job, open_ranges(asked=job["nvtx"]), open_meter(job["device"]))
    worker.open_ms = 1e3 * (time.perf_counter() - began)
    return worker.answer


class _Measured:
    """What opens the calls of a contender: the bundle on its backend, or its table alone."""

    def __init__(self, job: Mapping[str, Any]) -> None:
        self._job, self._way = job, contender(job["contender"])
        self._scans: Scans | None = None
        self._bundle: Any = None
        # Who has both opens each for its own cells: kernels scan without what runs graphs.
        if self._way.scans is None:
            self._open()
        elif not self._way.backend:
            self._scan()

    def call(self, cell: Cell, queries: str | None) -> tuple[Call, DeviceClock]:
        """One more call of a cell, and the clock of its stream."""
        if queries is not None:
            scans = self._scan()
            call = scans.call(_turns(queries), cell.best)
            return call, scans.clock(call)
        opened, stand_in = self._open(), self._way.backend == KERNELS
        if stand_in and cell.mode in ("gpu-encode", "gpu-query") and not opened.has_stand_ins:
            raise BackendError("the family has no kernels for this on the device")
        backend, kind, device = opened.backend, self._job["clock"], self._job["device"]
        clock = open_clock(kind, device, backend.stream(), torch=backend.name == "torch")
        return open_call(opened, cell, self._job["seed"], stand_in=stand_in), clock

    def served(self, cell: Cell, per_second: float) -> dict[str, Any] | None:
        """Queries that arrive at random moments; None where labels are not answered."""
        if cell.mode != "gpu-answer":
            return None
        seconds = _SERVED * self._job["seconds"]
        return asdict(served(self._open(), cell.batch, per_second, seconds=seconds, seed=self._job["seed"]))

    def providers(self) -> Providers:
        """Where the nodes of the graphs went that were opened by now; nothing of runtimes that place none."""
        backend = None if self._bundle is None else self._bundle.backend
        found = backend.providers() if isinstance(backend, OnnxRuntimeBackend) else {}
        return {**found, **(self._scans.providers if self._scans else {})}

    def _open(self) -> Any:
        """The bundle on the contender's backend."""
        if self._bundle is None:
            job = self._job
            self._bundle = load(job["bundle"], self._way.backend, job["device"], threads=job["threads"])
        return self._bundle

    def _scan(self) -> Scans:
        if self._scans is None:
            assert self._way.scans is not None
            bundle, where = (
                Bundle.open(self._job["bundle"]),
                [self._job[name] for name in ("clock", "device", "threads")],
            )
            score = contract.link_config(bundle.config).candidate_score
            try:
                self._scans = self._way.scans(np.array(bundle.table), score, *where)
            except ImportError as err:
                raise BackendError(f"{err}. Run: pip install '{self._way.package}'") from err
        return self._scans


class _Worker:
    """Attributes:
    open_ms: of opening the bundle or the peer.
    """

    def __init__(self, measured: _Measured, job: Mapping[str, Any], ranges: Range, meter: Meter | str) -> None:
        self._measured, self._job, self._ranges, self._meter = measured, job, ranges, meter
        self.open_ms = 0.0

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        cell, queries, seconds = Cell(**request["cell"]), request["queries"], self._job["seconds"]
        watching = Watching(self._meter) if isinstance(self._meter, Meter) else None
        with self._ranges(str(cell)), watching or contextlib.nullcontext():
            call, clock = self._measured.call(cell, queries)
            samples = timed(call, clock, _TIMED * seconds, transfers=self._job["transfers"])
            np.savez(Path(request["outputs"]), **compared(call))  # type: ignore[arg-type]
            calls = [call, *(self._measured.call(cell, queries)[0] for _ in range(IN_FLIGHT - 1))]
            rates, energy = self._metered(lambda: rates_in_flight(calls, cell.batch, _FLYING * seconds))
            per_second = LOAD * float(np.mean(rates))
            found = self._measured.served(cell, per_second)
        return {
            "samples": asdict(samples),
            "providers": self._measured.providers(),
            "rates": rates,
            "served": found,
            "offered_per_second": None if found is None else per_second,
            "open_ms": self.open_ms,
            "watched": {} if watching is None else watching.numbers(),
            "throttled": [] if watching is None else watching.throttling(),
            **energy,
        }

    def _metered(self, work: Callable[[], list[float]]) -> tuple[list[float], dict[str, float | None]]:
        """What `work` gives, with the GPU's energy meanwhile, as a share of what was done."""
        before, began = self._energy_mj(), time.perf_counter()
        found = work()
        spent, after = time.perf_counter() - began, self._energy_mj()
        if before is None or after is None:
            return found, {"mj_per_item": None, "watts": None}
        items = float(np.mean(found)) * spent
        return found, {"mj_per_item": (after - before) / items, "watts": (after - before) / 1e3 / spent}

    def _energy_mj(self) -> float | None:
        return self._meter.energy_mj() if isinstance(self._meter, Meter) else None


def _turns(file: str) -> list[Any]:
    with np.load(file, allow_pickle=False) as found:
        return [found[name] for name in found.files]
