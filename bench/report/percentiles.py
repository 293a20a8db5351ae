"""What is reported of samples: medians, percentiles, and how far each may lie off.

The noise of a number is the interval from NAME_low to NAME_high: a distribution-free 95 % interval of the percentile
(order statistics, normal approximation of the binomial), widened to hold the number of every round, for rounds differ
by more than samples that follow each other. A percentile stands only where the samples carry it: the largest of them is
beyond it with 95 % certainty, which takes 299 samples for p99 and 2,995 for p99.9.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, floor, sqrt
from typing import Any

import numpy as np

Numbers = dict[str, float | None]
Rounds = Sequence[Sequence[float]]

_PERCENTILES = (50.0, 90.0, 99.0, 99.9)
# Those that runs are compared by.
_WITH_NOISE = (50.0, 99.0)
_CERTAINTY = 0.95
_NORMAL_QUANTILE = 1.96
_STAGES = ("import_ms", "load_ms", "answer_ms")
_MEMORY = ("resident_mib", "peak_mib")


def is_carried(percentile: float, samples: int) -> bool:
    """Whether so many samples say where a percentile lies."""
    return bool(1 - (percentile / 100) ** samples >= _CERTAINTY)


def noise(rounds: Rounds, percentile: float = 50.0) -> tuple[float, float]:
    """Between which values a percentile of all samples may lie."""
    values = np.sort(np.concatenate([np.asarray(samples, np.float64) for samples in rounds]))
    share, count = percentile / 100, len(values)
    spread = _NORMAL_QUANTILE * sqrt(count * share * (1 - share))
    low = values[max(0, floor(count * share - spread))]
    high = values[min(count - 1, ceil(count * share + spread))]
    enough = [samples for samples in rounds if samples and (percentile == 50 or is_carried(percentile, len(samples)))]
    found = [float(np.percentile(samples, percentile)) for samples in enough]
    return float(min(low, *found, high)), float(max(low, *found, high))


def rate_numbers(rounds: Rounds) -> Numbers:
    """Median rate with its noise, lowest and highest sample."""
    every = [rate for samples in rounds for rate in samples]
    return {**_median("per_second", rounds), "per_second_min": min(every), "per_second_max": max(every)}


def latency_numbers(rounds: Rounds, of: str = "latency_ms") -> Numbers:
    """Percentiles, those that the samples do not carry None; noise of p50 and p99; extremes; each called OF_..."""
    every = [latency for samples in rounds for latency in samples]
    numbers: Numbers = {}
    for percentile in _PERCENTILES:
        name, carried = f"{of}_p{percentile:g}", is_carried(percentile, len(every))
        numbers[name] = float(np.percentile(every, percentile)) if carried else None
        if percentile in _WITH_NOISE:
            low, high = noise(rounds, percentile) if carried else (None, None)
            numbers |= {f"{name}_low": low, f"{name}_high": high}
    return numbers | {f"{of}_min": min(every), f"{of}_max": max(every)}


def start_numbers(starts: Sequence[Mapping[str, Any]]) -> Numbers:
    """Medians over several starts of a process (see cold_start.py)."""
    numbers = _median("first_answer_ms", [[start["first_answer_ms"]] for start in starts])
    numbers |= {name: float(np.median([start[name] for start in starts])) for name in _STAGES}
    for name in _MEMORY:
        known = [[start[name]] for start in starts if start[name] is not None]
        numbers |= _median(name, known) if known else {name: None}
    return numbers


def _median(name: str, rounds: Rounds) -> Numbers:
    low, high = noise(rounds)
    return {name: float(np.median(np.concatenate(rounds))), f"{name}_low": low, f"{name}_high": high}
