"""What is said of samples, and what they cannot say."""

from __future__ import annotations

import numpy as np
import pytest

from mmkg_sdk.bench.report.percentiles import is_carried, latency_numbers, noise, rate_numbers, start_numbers


@pytest.mark.parametrize(("percentile", "least"), [(50, 5), (90, 29), (99, 299), (99.9, 2995)])
def test_a_percentile_needs_so_many_samples(percentile: float, least: int) -> None:
    """The chance that all samples lie below it must be at most 5 %: 0.99^299 = 0.0495, 0.99^298 = 0.0500."""
    assert not is_carried(percentile, least - 1)
    assert is_carried(percentile, least)


def test_percentiles_that_the_samples_do_not_carry_are_none() -> None:
    numbers = latency_numbers([list(range(1, 151)), list(range(151, 301))])
    assert numbers["latency_ms_p50"] == pytest.approx(150.5)
    assert numbers["latency_ms_p90"] == pytest.approx(np.percentile(np.arange(1, 301), 90))
    assert numbers["latency_ms_p99"] == pytest.approx(np.percentile(np.arange(1, 301), 99))
    assert numbers["latency_ms_p99.9"] is None
    few = latency_numbers([[3.0, 1.0, 2.0]])
    assert [name for name, value in few.items() if value is not None] == ["latency_ms_min", "latency_ms_max"]


def test_noise_holds_the_true_percentile_as_often_as_it_says() -> None:
    """Of 2,000 draws of 100 numbers from a known distribution, 95 % have the true median inside, give or take."""
    random = np.random.default_rng(0)
    inside = 0
    for draw in random.exponential(1.0, size=(2000, 100)):
        low, high = noise([draw.tolist()])
        inside += low <= np.log(2) <= high
    assert 0.94 <= inside / 2000 <= 0.985


def test_noise_holds_what_every_round_found() -> None:
    slow, fast = [1.0] * 50, [2.0] * 50
    assert noise([slow, fast]) == (1.0, 2.0)
    assert noise([fast, [*fast, 3.0]]) == (2.0, 2.0)
    # Rounds that are too short for a percentile say nothing about it.
    assert noise([[1.0] * 2500, [1.0] * 2500, [9.0] * 3], 99.0) == (1.0, 1.0)


def test_one_sample_is_its_own_noise() -> None:
    assert rate_numbers([[5.0]]) == dict.fromkeys(
        ("per_second", "per_second_low", "per_second_high", "per_second_min", "per_second_max"), 5.0
    )


def test_memory_that_the_system_does_not_say_is_none() -> None:
    times = {"first_answer_ms": 9.0, "import_ms": 2.0, "load_ms": 3.0, "answer_ms": 1.0}
    numbers = start_numbers([{**times, "resident_mib": 50.0, "peak_mib": None}] * 2)
    assert (numbers["first_answer_ms"], numbers["resident_mib"], numbers["peak_mib"]) == (9.0, 50.0, None)
