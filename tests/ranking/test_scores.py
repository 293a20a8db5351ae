"""Scores of candidates against their definition, whatever the block."""

from __future__ import annotations

import math

import numpy as np
import pytest

import mmkg_sdk.ranking.scores
from mmkg_sdk.ranking.scores import CandidateScore, ComplexDistance, InnerProduct


def modulus_sum(query: np.ndarray, candidate: np.ndarray) -> float:
    """Sum of |query - candidate| over complex coordinates, one by one in double precision."""
    half = len(query) // 2
    return sum(
        math.hypot(float(query[i]) - float(candidate[i]), float(query[half + i]) - float(candidate[half + i]))
        for i in range(half)
    )


@pytest.mark.parametrize("coordinates", [1, 7, 64, 1 << 15])
@pytest.mark.parametrize("candidates", [1, 2, 31, 32, 33])
def test_complex_distance_is_the_margin_minus_the_sum_of_moduli(
    coordinates: int, candidates: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mmkg_sdk.ranking.scores, "_COORDINATES", coordinates)
    rng = np.random.default_rng(candidates)
    queries = rng.standard_normal((3, 10)).astype(np.float32)
    table = rng.standard_normal((candidates, 10)).astype(np.float32)
    found = ComplexDistance(6.0)(queries, table)
    expected = [[6.0 - modulus_sum(query, candidate) for candidate in table] for query in queries]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert found.dtype == np.float32


@pytest.mark.parametrize("score", [InnerProduct(), ComplexDistance(2.5)])
def test_pairs_are_the_diagonal(score: CandidateScore) -> None:
    rng = np.random.default_rng(0)
    queries, table = rng.standard_normal((2, 6, 8)).astype(np.float32)
    np.testing.assert_allclose(score.pairs(queries, table), np.diagonal(score(queries, table)), rtol=1e-5, atol=1e-5)


def test_a_candidate_that_equals_the_query_scores_the_margin() -> None:
    vectors = np.ones((1, 4), np.float32)
    assert ComplexDistance(12.0)(vectors, vectors).tolist() == [[12.0]]


def test_strided_and_read_only_tables_give_the_same_scores() -> None:
    rng = np.random.default_rng(1)
    table = rng.standard_normal((20, 12)).astype(np.float32)
    queries = rng.standard_normal((2, 6)).astype(np.float32)
    strided = table[::2, ::2]
    strided.setflags(write=False)
    plain = np.ascontiguousarray(strided)
    np.testing.assert_array_equal(ComplexDistance(1.0)(queries, strided), ComplexDistance(1.0)(queries, plain))
