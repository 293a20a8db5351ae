"""Intervals by the paired bootstrap: test items are drawn with replacement, the same ones for both that are compared.

They tell what another test split of this kind might have shown of the same model. What another training might have,
they do not tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1000
_CERTAINTY = 0.95
# Drawn at a time, so that memory is bounded.
_NUMBERS = 1 << 22

Value = Callable[[NDArray[np.float64], int], NDArray[np.float64]]
Interval = tuple[float, float]


def paired_interval(
    before: NDArray[np.float64], after: Sequence[NDArray[np.float64]], value: Value, seed: int = 0
) -> Interval:
    """A 95 % interval of how much a metric changes, from the 2.5th to the 97.5th percentile of 1,000 resamples.

    Args:
        before: float64 [items, sums], of the same items in the same order as those of `after`.
        after: of each seed; the change is that of the mean of their metrics.
        value: the metric from sums, see `Subject.value`.
        seed: of the draw.
    """
    changes = []
    for drawn in _draws(len(before), seed):
        count = drawn.shape[1]
        later = np.mean([value(one[drawn].sum(axis=1), count) for one in after], axis=0)
        changes.append(later - value(before[drawn].sum(axis=1), count))
    return _ends(np.concatenate(changes))


def interval(items: NDArray[np.float64], value: Value, seed: int = 0) -> Interval:
    """A 95 % interval of the metric itself, likewise."""
    drawn = [value(items[rows].sum(axis=1), rows.shape[1]) for rows in _draws(len(items), seed)]
    return _ends(np.concatenate(drawn))


def _draws(count: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Rows of items, [some resamples, count], until there are RESAMPLES."""
    random, left = np.random.default_rng(seed), RESAMPLES
    while left:
        some = min(left, max(1, _NUMBERS // count))
        yield random.integers(count, size=(some, count))
        left -= some


def _ends(found: NDArray[np.float64]) -> Interval:
    low, high = np.quantile(found, [(1 - _CERTAINTY) / 2, (1 + _CERTAINTY) / 2]).tolist()
    return low, high
