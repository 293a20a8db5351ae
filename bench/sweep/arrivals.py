"""Server mode: questions arrive by a schedule, whether or not the earlier ones are answered (an open loop).

Arrivals are a Poisson process. Whenever the model is free it takes all questions that have arrived, up to a limit, and
answers them in one call. The latency of a question counts from its scheduled arrival, so what waits behind a slow call
is counted in full (no coordinated omission).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MIN_ARRIVALS = 300
# Slow models end after this many times the measuring time, with fewer arrivals.
_PATIENCE = 10
_MOST_ARRIVALS = 1_000_000
# Below this a sleep takes longer than asked for, on Linux by about 60 microseconds.
_SPIN_S = 2e-4
# With fewer questions a steady queue might look like one that grows.
_TELLING = 30


@dataclass(frozen=True)
class Served:
    """What became of a schedule.

    Attributes:
        latency_ms: of each question, from its scheduled arrival to the end of the call that answered it.
        sustained: see `is_sustained`.
    """

    latency_ms: list[float]
    sustained: bool | None


def schedule(per_second: float, seconds: float, seed: int) -> NDArray[np.float64]:
    """Times of arrival in seconds from the start: as many as come in `seconds` on average, and at least 300 unless that
    took more than ten times as long."""
    count = int(min(max(per_second * seconds, MIN_ARRIVALS), per_second * seconds * _PATIENCE, _MOST_ARRIVALS))
    arrivals: NDArray[np.float64] = np.random.default_rng(seed).exponential(1 / per_second, max(3, count)).cumsum()
    return arrivals


def serve(answer: Callable[[int, int], object], arrivals: NDArray[np.float64], limit: int) -> Served:
    """Answer every question of a schedule.

    Args:
        answer: answers the questions first..last (exclusive) in one call.
        arrivals: ascending, float64 [questions].
        limit: most questions in one call.
    """
    latencies = np.empty(len(arrivals))
    done, left_over = 0, None
    began = time.perf_counter()
    while done < len(arrivals):
        now = _wait_until(began + arrivals[done]) - began
        arrived = max(done + 1, int(np.searchsorted(arrivals, now, side="right")))  # despite rounding of the clock
        first, done = done, min(arrived, done + limit)
        answer(first, done)
        now = time.perf_counter() - began
        latencies[first:done] = now - arrivals[first:done]
        if left_over is None and now >= arrivals[-1]:
            left_over = len(arrivals) - done
    return Served((1e3 * latencies).tolist(), is_sustained(latencies, left_over or 0, limit))


def is_sustained(latencies: NDArray[np.float64], left_over: int, limit: int) -> bool | None:
    """Whether the model kept up; None if there were too few questions to say.

    It did if, after the last arrival, one call took all that was left, and if in the last third the queue was at some
    time as short as it commonly was in the second: a queue that grows never is, one that met with a pause is.
    """
    if len(latencies) < _TELLING:
        return None
    third = len(latencies) // 3
    return bool(left_over <= limit and latencies[-third:].min() <= np.median(latencies[third : 2 * third]))


def _wait_until(moment: float) -> float:
    """Sleep, and watch the clock at the end; the time when it is over."""
    while (left := moment - time.perf_counter()) > 0:
        if left > _SPIN_S:
            time.sleep(left - _SPIN_S)
    return time.perf_counter()
