"""Wall-clock times of a call, from a monotonic clock."""

from __future__ import annotations

import time
from collections.abc import Callable

MIN_SAMPLES = 3


def seconds_of(call: Callable[[], object]) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def samples_s(call: Callable[[], object], seconds: float) -> list[float]:
    """Seconds of each call, again and again for about `seconds`, at least three times."""
    samples: list[float] = []
    began = time.perf_counter()
    while len(samples) < MIN_SAMPLES or time.perf_counter() - began < seconds:
        samples.append(seconds_of(call))
    return samples
