"""The frontier against its definition, and the recommended setting of a made-up one."""

from __future__ import annotations

import numpy as np

from mmkg_sdk.bench.quality.frontier import on_frontier, recommended

VALUES = [0.10, 0.39, 0.40, 0.20, 0.40]
SPEEDS = [90.0, 70.0, 50.0, 60.0, 40.0]


def test_it_is_what_nothing_beats_in_both() -> None:
    assert on_frontier(VALUES, SPEEDS) == [True, True, True, False, False]
    random = np.random.default_rng(0)
    values, speeds = random.integers(0, 9, 40).tolist(), random.integers(0, 9, 40).tolist()
    beaten = set()
    for one in range(40):
        for other in range(40):
            no_worse = values[other] >= values[one] and speeds[other] >= speeds[one]
            if no_worse and (values[other], speeds[other]) != (values[one], speeds[one]):
                beaten.add(one)
    assert on_frontier(values, speeds) == [one not in beaten for one in range(40)]


def test_recommended_is_the_fastest_that_cannot_be_told_from_the_best() -> None:
    assert recommended(VALUES, SPEEDS, [False, True, True, False, True]) == 1
    assert recommended(VALUES, SPEEDS, [False, False, True, False, True]) == 2


def test_of_equally_fast_ones_it_is_the_best() -> None:
    assert recommended([0.3, 0.4, 0.2], [5.0, 5.0, 5.0], [True, True, False]) == 1
