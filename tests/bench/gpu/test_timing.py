"""How a call is timed: each part is known beforehand, because it sleeps."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest

from mmkg_sdk.bench.gpu.calls import Arrays
from mmkg_sdk.bench.gpu.timing import MIN_SAMPLES, rates_in_flight, timed
from mmkg_sdk.bench.machine.clock import HostClock
from mmkg_sdk.errors import BackendError

LOAD_MS, RUN_MS, FETCH_MS = 2.0, 4.0, 3.0


class Sleeping:
    whole: str | None = None
    waits: str | None = None
    graphless: str | None = None

    def __init__(self) -> None:
        self.turns: list[int] = []

    def load(self, turn: int) -> None:
        self.turns.append(turn)
        time.sleep(LOAD_MS / 1e3)

    def run(self) -> None:
        time.sleep(RUN_MS / 1e3)

    def fetch(self) -> Arrays:
        time.sleep(FETCH_MS / 1e3)
        return {"vectors": np.zeros((1, 1), np.float32)}


class Capturing(HostClock):
    """Keeps the work and does it again, as a graph would."""

    flushed = 0

    def flush_cache(self) -> None:
        self.flushed += 1

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        return work


def test_parts_are_timed_apart() -> None:
    call, clock = Sleeping(), Capturing()
    found = timed(call, clock, 0.1, transfers=True)
    least = {"gpu": RUN_MS, "gpu_warm": RUN_MS, "gpu_graph": RUN_MS, "enqueue": RUN_MS, "h2d": LOAD_MS, "d2h": FETCH_MS}
    least |= {"host": LOAD_MS + RUN_MS + FETCH_MS, "first": LOAD_MS + RUN_MS + FETCH_MS}
    for name, ms in least.items():
        samples = getattr(found, name)
        assert len(samples) >= (1 if name == "first" else MIN_SAMPLES), name
        assert min(samples) >= ms, name
    # Events hold the work alone.
    assert min(found.gpu) < RUN_MS + LOAD_MS
    assert clock.flushed == len(found.gpu) + len(found.gpu_graph)
    assert set(call.turns) == {0, 1, 2, 3}
    assert found.notes == {}


def test_latencies_without_transfers_hold_the_work_alone() -> None:
    found = timed(Sleeping(), HostClock(), 0.05, transfers=False)
    assert found.h2d == found.d2h == []
    assert RUN_MS <= min(found.host) < RUN_MS + LOAD_MS


def test_what_is_not_to_be_known_apart_has_a_reason_in_place_of_times() -> None:
    call = Sleeping()
    call.whole = "one call"
    found = timed(call, HostClock(), 0.05, transfers=True)
    assert found.gpu == found.gpu_graph == found.enqueue == []
    assert found.notes == {"gpu": "one call"}
    call.whole, call.waits, call.graphless = None, "it waits", "it decides"
    found = timed(call, HostClock(), 0.05, transfers=True)
    assert found.gpu
    assert found.enqueue == found.gpu_graph == []
    assert found.notes == {"enqueue": "it waits", "graph": "it decides"}
    call.graphless = None
    assert timed(call, HostClock(), 0.05, transfers=True).notes["graph"] == "a processor has no CUDA graphs"


def test_two_in_flight_do_twice_as_much() -> None:
    batch = 10
    alone = 1e3 * batch / (LOAD_MS + RUN_MS + FETCH_MS)
    rates = rates_in_flight([Sleeping(), Sleeping()], batch, 0.3)
    assert 0.7 * alone < np.median(rates) <= 2 * alone * 1.2


def test_a_call_that_fails_in_flight_is_an_error_and_nothing_hangs() -> None:
    class Failing(Sleeping):
        def run(self) -> None:
            raise BackendError("out of memory")

    with pytest.raises(BackendError, match="out of memory"):
        rates_in_flight([Sleeping(), Failing()], 1, 30.0)
