"""The paired bootstrap against its formula and against a loop that a child could follow."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mmkg_sdk.bench.quality.intervals import RESAMPLES, interval, paired_interval


def mean(sums: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    return sums[..., 0] / count


def f1(sums: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Of hits, found and right."""
    return 2 * sums[..., 0] / (sums[..., 1] + sums[..., 2])


def test_of_a_mean_it_is_the_normal_approximation() -> None:
    random = np.random.default_rng(3)
    before, after = random.random((4000, 1)), random.random((4000, 1))
    change = (after - before)[:, 0]
    wide = 1.96 * change.std() / np.sqrt(len(change))
    low, high = paired_interval(before, [after], mean)
    assert (low, high) == pytest.approx((change.mean() - wide, change.mean() + wide), abs=0.1 * wide)
    alone = 1.96 * before.std() / np.sqrt(len(before))
    assert interval(before, mean) == pytest.approx((before.mean() - alone, before.mean() + alone), abs=0.1 * alone)


def test_of_f1_it_is_that_of_a_loop() -> None:
    random = np.random.default_rng(4)
    before, after = (random.integers(0, 4, (12, 3)).astype(float) + np.array([0, 1, 1]) for _ in range(2))
    draws = np.random.default_rng(7).integers(12, size=(RESAMPLES, 12)).tolist()
    changes = []
    for rows in draws:
        scores = []
        for items in (before, after):
            hits, found, right = (sum(items[row][place] for row in rows) for place in range(3))
            scores.append(2 * hits / (found + right))
        changes.append(scores[1] - scores[0])
    expected = (np.percentile(changes, 2.5), np.percentile(changes, 97.5))
    assert paired_interval(before, [after], f1, seed=7) == pytest.approx(expected, abs=1e-12)


def test_pairs_are_narrower_than_two_intervals_apart() -> None:
    random = np.random.default_rng(5)
    before = random.random((500, 1))
    low, high = paired_interval(before, [before + random.normal(0.01, 0.001, (500, 1))], mean)
    assert 0.009 < low < 0.01 < high < 0.011
    assert np.ptp(interval(before, mean)) > 0.04


def test_what_is_the_same_does_not_change() -> None:
    items = np.random.default_rng(6).random((50, 1))
    assert paired_interval(items, [items, items], mean) == (0, 0)


def test_of_several_seeds_it_is_of_their_mean() -> None:
    random = np.random.default_rng(8)
    before, *after = (random.random((300, 1)) for _ in range(3))
    found = paired_interval(before, after, mean)
    assert found == pytest.approx(paired_interval(before, [(after[0] + after[1]) / 2], mean), abs=1e-12)
