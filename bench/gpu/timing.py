"""How a Call is timed: on the device by events, on the host by its clock, and with two calls in flight.

NEVER RUN ON A GPU: in tests a clock of the host takes the place of events.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from mmkg_sdk.errors import BackendError, MmkgError

from ..machine.clock import DeviceClock
from .calls import TURNS, Call, OwnGraphs

# So many carry a median.
MIN_SAMPLES = 5
# As trtexec warms up.
_WARM_UP_S = 0.2
_WINDOWS = 8
IN_FLIGHT = 2


@dataclass
class Samples:
    """Milliseconds of every call, by what was timed; empty where it could not be.

    Attributes:
        gpu: on the device by events, inputs in turn, caches flushed before.
        gpu_warm: the same inputs again and again.
        gpu_graph: as a CUDA graph, caches flushed before.
        enqueue: the host's time to put the work on the stream.
        host: from inputs on the host to outputs on the host; without transfers, from the first launch to the last.
        h2d, d2h: of that, bringing inputs to the device and outputs back.
        first: the very first call, with what it makes at that time.
        notes: why something was not timed.
    """

    gpu: list[float] = field(default_factory=list)
    gpu_warm: list[float] = field(default_factory=list)
    gpu_graph: list[float] = field(default_factory=list)
    enqueue: list[float] = field(default_factory=list)
    host: list[float] = field(default_factory=list)
    h2d: list[float] = field(default_factory=list)
    d2h: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)


def timed(call: Call, clock: DeviceClock, seconds: float, *, transfers: bool) -> Samples:
    """Time one call in every way, for about `seconds` in all.

    Raises:
        MmkgError: the call failed.
    """
    found, share = Samples(), seconds / 4
    if isinstance(call, OwnGraphs):
        call.use_graphs(False)
    began = time.perf_counter()
    call.load(0)
    call.run()
    call.fetch()
    found.first.append(_ms_since(began))
    began = time.perf_counter()
    while time.perf_counter() - began < min(_WARM_UP_S, share):
        call.run()
        clock.synchronize()
    if call.whole is None:
        _on_device(call, clock, share, found)
    else:
        found.notes["gpu"] = call.whole
    _on_host(call, clock, share, found, transfers=transfers)
    return found


def rates_in_flight(calls: list[Call], batch: int, seconds: float) -> list[float]:
    """Items per second of some windows, each call by a thread of its own, inputs and outputs on the host.

    Raises:
        MmkgError: a call failed.
    """
    ends: list[float] = []
    failures: list[BaseException] = []
    began = time.perf_counter()

    def work(call: Call) -> None:
        try:
            for turn in itertools.cycle(range(TURNS)):
                call.load(turn)
                call.run()
                call.fetch()
                ends.append(time.perf_counter())
                if ends[-1] - began >= seconds or failures:
                    return
        except MmkgError as err:
            failures.append(err)

    threads = [threading.Thread(target=work, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    counts, edges = np.histogram(ends, np.linspace(began, max(ends), _WINDOWS + 1))
    if counts.min() < MIN_SAMPLES:  # windows with few calls in them would say nothing
        counts, edges = np.histogram(ends, np.linspace(began, max(ends), 2))
    return [float(batch * count / (edges[1] - edges[0])) for count in counts]


def _on_device(call: Call, clock: DeviceClock, seconds: float, found: Samples) -> None:
    turn = itertools.cycle(range(TURNS))

    def cold() -> None:
        call.load(next(turn))
        clock.flush_cache()
        clock.synchronize()

    def nothing() -> None:
        pass

    _sample(call.run, clock, seconds, cold, found.gpu, found.enqueue if call.waits is None else None)
    if call.waits is not None:
        found.notes["enqueue"] = call.waits
    call.load(0)
    _sample(call.run, clock, seconds / 2, nothing, found.gpu_warm)
    if call.graphless is not None:
        found.notes["graph"] = call.graphless
        return
    launch = call.run
    try:
        if isinstance(call, OwnGraphs):
            call.use_graphs(True)
        else:
            launch = clock.capture(call.run)
    except BackendError as err:
        found.notes["graph"] = str(err)
        return

    # The graph has kept the addresses of its inputs, which stay where they are.
    def flushed() -> None:
        clock.flush_cache()
        clock.synchronize()

    _sample(launch, clock, seconds / 2, flushed, found.gpu_graph)


def _sample(
    work: Callable[[], None],
    clock: DeviceClock,
    seconds: float,
    before: Callable[[], None],
    gpu: list[float],
    enqueue: list[float] | None = None,
) -> None:
    began = time.perf_counter()
    while len(gpu) < MIN_SAMPLES or time.perf_counter() - began < seconds:
        before()
        first, put = clock.mark(), time.perf_counter()
        work()
        spent = _ms_since(put)
        gpu.append(clock.elapsed_ms(first, clock.mark()))
        if enqueue is not None:
            enqueue.append(spent)


def _on_host(call: Call, clock: DeviceClock, seconds: float, found: Samples, *, transfers: bool) -> None:
    began = time.perf_counter()
    for turn in itertools.cycle(range(TURNS)):
        if not transfers:
            call.load(turn)
            clock.synchronize()
        start = time.perf_counter()
        if transfers:
            call.load(turn)
            clock.synchronize()
            found.h2d.append(_ms_since(start))
        call.run()
        clock.synchronize()
        if transfers:
            back = time.perf_counter()
            call.fetch()
            found.d2h.append(_ms_since(back))
        found.host.append(_ms_since(start))
        if len(found.host) >= MIN_SAMPLES and time.perf_counter() - began >= seconds:
            return


def _ms_since(moment: float) -> float:
    return 1e3 * (time.perf_counter() - moment)
