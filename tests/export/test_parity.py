"""What the rows of a parity report count, on rankings that can be checked by eye."""

from __future__ import annotations

import numpy as np
import pytest

from mmkg_sdk.export import ParityCheck
from mmkg_sdk.export.parity import ScoreComparison, mrr_check, ranking_checks, relative_error, root_mean_square

# Four queries, four candidates; the best two are 0 and 1, and 2 is behind 1 by a hundredth.
EXPECTED = np.tile(np.array([3.0, 2.0, 1.99, 0.0]), (4, 1))
#        equal   order   set      another one altogether
FOUND = np.array([[0, 1], [1, 0], [0, 2], [0, 3]])


def test_sets_orders_and_what_is_beyond_the_tolerance_are_counted_apart() -> None:
    order, sets, beyond = ranking_checks("graph", "tails", FOUND, EXPECTED, slack=0.01)
    assert (order.value, order.limit, order.passed) == (0.75, None, True)
    assert (sets.value, sets.limit, sets.passed) == (0.5, None, True)
    assert (beyond.value, beyond.limit, beyond.passed) == (0.25, 0.0, False)
    assert {check.queries for check in (order, sets, beyond)} == {4}
    assert "another set of the top 2, 4 queries" in str(sets)


def test_within_the_tolerance_a_set_still_counts_as_another_one() -> None:
    _, sets, beyond = ranking_checks("graph", "tails", FOUND[:3], EXPECTED[:3], slack=0.01)
    assert sets.value == pytest.approx(1 / 3)
    assert beyond.value == 0.0


def test_fewer_candidates_than_the_top_are_compared_as_far_as_they_go() -> None:
    order, sets, _ = ranking_checks("graph", "tails", np.array([[0, 2, 1, 3]]), EXPECTED[:1], slack=0.0)
    assert (order.value, sets.value) == (1.0, 0.0)


def test_the_change_of_the_mrr_has_a_sign_the_queries_and_an_interval_around_it() -> None:
    ideal = np.ones((50, 2))
    found = ideal.copy()
    found[:5, 0] = 2  # five of a hundred answers fall from the first place to the second
    check = mrr_check("graph", "change", found, ideal, limit=1e-2)
    assert check.value == pytest.approx(-0.025)
    assert check.queries == 100
    assert check.interval is not None
    low, high = check.interval
    assert low < -0.025 < high <= 0
    assert low == pytest.approx(-0.05, abs=0.01)  # 1.96 standard errors of 0.011 below
    assert not check.passed
    assert "-2.50e-02" in str(check)
    assert mrr_check("graph", "change", ideal, found, limit=1e-2).value == pytest.approx(0.025)


def test_a_value_that_is_no_number_never_passes() -> None:
    assert not ParityCheck("graph", "error", float("nan"), 1.0).passed


@pytest.mark.parametrize("at_once", [1, 3, 8])
def test_queries_that_come_some_at_a_time_are_compared_as_together(at_once: int) -> None:
    random = np.random.default_rng(4)
    expected = random.standard_normal((8, 30))
    found = expected + 0.02 * random.standard_normal(expected.shape)
    best = np.argsort(-found, axis=1, kind="stable")[:, :5]
    compared, limit = ScoreComparison(), 0.01
    for start in range(0, 8, at_once):
        part = slice(start, start + at_once)
        compared.add(found[part], expected[part], best[part], expected[part])
    error, *rankings = compared.checks("graph", "tails", limit)
    assert error.value == pytest.approx(relative_error(found, expected))
    assert not error.passed
    wanted = ranking_checks("graph", "tails", best, expected, limit * root_mean_square(expected))
    assert rankings == wanted
    assert any(check.value for check in wanted)


def test_a_score_that_is_no_number_stays_one() -> None:
    compared = ScoreComparison()
    for score in (np.nan, 0.0):
        compared.add(np.array([[score, 1.0]]), np.zeros((1, 2)), np.array([[1]]), np.array([[0.0, 1.0]]))
    assert not compared.checks("graph", "tails", 1.0)[0].passed
