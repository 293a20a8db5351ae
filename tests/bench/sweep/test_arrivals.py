"""The open loop: who waits is counted, whoever keeps it waiting."""

from __future__ import annotations

import time

import numpy as np
import pytest

from mmkg_sdk.bench.sweep.arrivals import is_sustained, schedule, serve


def test_arrivals_are_a_poisson_process_of_the_stated_rate() -> None:
    gaps = np.diff(schedule(200.0, 100.0, seed=0))
    assert len(gaps) == 19_999
    assert gaps.min() > 0
    assert gaps.mean() == pytest.approx(1 / 200, rel=0.03)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.03)  # as of an exponential distribution


def test_another_seed_is_another_schedule_and_another_rate_the_same_one_stretched() -> None:
    np.testing.assert_allclose(schedule(10.0, 40.0, seed=1), 2 * schedule(20.0, 20.0, seed=1))
    assert (schedule(10.0, 40.0, seed=1) != schedule(10.0, 40.0, seed=2)).all()


@pytest.mark.parametrize(
    ("per_second", "seconds", "count"),
    [(1000.0, 1.0, 1000), (100.0, 1.0, 300), (10.0, 1.0, 100), (0.1, 1.0, 3), (1e9, 1.0, 1_000_000)],
)
def test_slow_models_get_fewer_questions_and_fast_ones_not_endlessly_many(
    per_second: float, seconds: float, count: int
) -> None:
    assert len(schedule(per_second, seconds, seed=0)) == count


def test_a_slow_call_is_counted_for_everyone_who_waits_behind_it() -> None:
    """Questions come every millisecond and the first call takes 50: a closed loop would have seen one slow question."""
    arrivals = np.arange(40) * 1e-3
    calls: list[tuple[int, int]] = []

    def answer(first: int, last: int) -> None:
        calls.append((first, last))
        if first == 0:
            time.sleep(0.05)

    served = serve(answer, arrivals, limit=8)
    taken = calls[0][1]
    assert all(latency >= 50 - i for i, latency in enumerate(served.latency_ms[taken:], start=taken))
    assert min(served.latency_ms[:taken]) >= 50 - taken
    # Everyone is answered once and in order, and no call takes more than it may.
    assert [first for first, _ in calls] == [0, *(last for _, last in calls[:-1])]
    assert calls[-1][1] == 40
    assert max(last - first for first, last in calls) <= 8


def test_nobody_is_answered_before_he_has_come() -> None:
    arrivals = schedule(2000.0, 0.15, seed=3)
    began = time.perf_counter()

    def answer(first: int, last: int) -> None:
        assert time.perf_counter() - began >= arrivals[last - 1]

    assert min(serve(answer, arrivals, limit=1000).latency_ms) >= 0


def test_a_growing_queue_is_not_sustained_and_a_pause_is_forgiven() -> None:
    steady = np.random.default_rng(0).uniform(1.0, 3.0, 300)
    assert is_sustained(steady, left_over=5, limit=10) is True
    assert is_sustained(np.linspace(0.0, 10.0, 300), left_over=5, limit=10) is False
    assert is_sustained(steady + np.linspace(0.0, 10.0, 300), left_over=5, limit=10) is False
    paused = steady.copy()
    paused[210:240] += np.linspace(50.0, 0.0, 30)
    assert is_sustained(paused, left_over=5, limit=10) is True
    # More than a call takes was left when the last one came.
    assert is_sustained(steady, left_over=11, limit=10) is False
    assert is_sustained(steady[:29], left_over=0, limit=10) is None
