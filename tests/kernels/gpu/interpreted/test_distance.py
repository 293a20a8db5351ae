"""The CUDA kernels of the rotated distance in Triton's interpreter, against the CPU kernels, to the bit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import triton
import triton.language as tl

from mmkg_sdk.kernels import Scan
from mmkg_sdk.ranking.exact import RankingProtocol
from mmkg_sdk.ranking.known_triples import AnswerLists
from mmkg_sdk.ranking.scores import ComplexDistance

from ...references.canonical import answer_lists, complex_distance
from . import distance_steps as steps

CERTAIN, NOT_A_NUMBER = 1, 2
MARGIN = 6.0


def vectors(seed: int, rows: int, half: int, batch: int, ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    table = rng.standard_normal((rows, 2 * half)).astype(np.float32)
    queries = rng.standard_normal((batch, 2 * half)).astype(np.float32)
    if ties:  # whole numbers of few values, every row twice
        table, queries = np.round(table), np.round(queries)
        table[rows // 2 :] = table[: rows - rows // 2]
    return table, queries


def lists(seed: int, rows: int, batch: int, most: int) -> AnswerLists:
    rng = np.random.default_rng(seed)
    return answer_lists(
        [sorted(rng.choice(rows, rng.integers(0, min(most, rows) + 1), replace=False).tolist()) for _ in range(batch)]
    )


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and bool((a.view(np.uint32) == b.view(np.uint32)).all())


def check_top_k(
    table: np.ndarray,
    queries: np.ndarray,
    k: int,
    excluded: AnswerLists | None = None,
    candidates: np.ndarray | None = None,
    margin: float = MARGIN,
) -> None:
    expected = Scan(table, ComplexDistance(margin), threads=1).top_k(queries, k, excluded, candidates)
    ids, scores, certificates = steps.top_k(table, margin, queries, k, excluded, candidates)
    assert (certificates == CERTAIN).all()
    for i, (start, end) in enumerate(zip(expected.offsets[:-1], expected.offsets[1:], strict=True)):
        np.testing.assert_array_equal(ids[i], expected.ids[start:end])
        assert same_bits(scores[i], expected.scores[start:end])


@pytest.mark.parametrize("rows", [1, 31, 127, 128, 129, 257])
@pytest.mark.parametrize("ties", [False, True])
def test_the_best_rows_are_those_of_the_cpu(rows: int, ties: bool) -> None:
    table, queries = vectors(rows, rows, 17, 3, ties)
    check_top_k(table, queries, 10)
    check_top_k(table, queries, 5, lists(rows, rows, 3, 40))


@pytest.mark.parametrize("half", [1, 15, 16, 31, 33, 64])
def test_vectors_of_any_width(half: int) -> None:
    table, queries = vectors(half, 131, half, 2)
    check_top_k(table, queries, 3)
    ids = np.array([130, 0])
    expected = Scan(table, ComplexDistance(MARGIN), threads=1).pairs(queries, ids)
    assert same_bits(steps.pairs(table, MARGIN, queries, ids), expected)


@pytest.mark.parametrize("batch", [1, 7, 8, 9])
def test_any_number_of_queries(batch: int) -> None:
    table, queries = vectors(batch, 140, 5, batch)
    check_top_k(table, queries, 4, lists(batch, 140, batch, 9))


@pytest.mark.parametrize("k", [1, 16, 17, 129, 600])
def test_any_number_of_answers(k: int) -> None:
    table, queries = vectors(k, 600, 4, 1, ties=True)
    check_top_k(table, queries, k, lists(k, 600, 1, 30))


def test_only_candidates_are_answers() -> None:
    table, queries = vectors(1, 300, 6, 2, ties=True)
    for chosen in ([7], [0, 299], range(1, 300, 2), range(300)):
        candidates = np.array(chosen)
        check_top_k(table, queries, 12, lists(2, 300, 2, 50), candidates)


def test_rows_that_are_all_left_out_leave_no_answer() -> None:
    table, queries = vectors(3, 40, 3, 1)
    check_top_k(table, queries, 5, answer_lists([list(range(40))]))
    check_top_k(table, queries, 5, answer_lists([list(range(38))]))


def test_rows_infinitely_far_are_no_answers_and_a_score_of_zero_has_no_sign() -> None:
    table, queries = vectors(4, 50, 3, 2, ties=True)
    table[::3, 1] = np.inf
    table[7] = 3e38  # its square is infinite
    table[8], queries[1] = 1.0, 1.0
    check_top_k(table, queries, 50)
    for margin in (0.0, -0.0, 1e30, -1e30, float(np.sqrt(np.float32(2)) * 3)):
        check_top_k(table, queries, 50, margin=margin)
    _, scores, _ = steps.top_k(table, 0.0, queries, 1)
    assert scores[1].tolist() == [0.0]
    assert not np.signbit(scores[1][0])


def test_tiny_numbers_keep_their_digits() -> None:
    table, queries = vectors(5, 40, 9, 2)
    check_top_k(table * np.float32(1e-40), queries * np.float32(1e-40), 10, margin=0.0)
    check_top_k(table * np.float32(1e-22), queries * np.float32(1e-22), 10, margin=1e-20)


@pytest.mark.parametrize("rows", [1, 31, 129, 257])
@pytest.mark.parametrize("penalty", [0.0, 1.0, 2.5, math.inf])
def test_counts_are_those_of_the_cpu(rows: int, penalty: float) -> None:
    table, queries = vectors(rows, rows, 2, 9, ties=True)
    targets = np.random.default_rng(rows).integers(0, rows, 9)
    known = lists(rows, rows, 9, 80)
    scan = Scan(table, ComplexDistance(MARGIN), threads=1)
    better, certificates = steps.ranks(table, MARGIN, queries, targets, known, penalty)
    assert (certificates == CERTAIN).all()
    for ties, before in (("optimistic", 0), ("floor", better[1] // 2), ("stable", better[2])):
        protocol: Any = RankingProtocol(ties, penalty)  # type: ignore[arg-type]
        expected = scan.ranks(queries, targets, known, protocol)
        np.testing.assert_array_equal(1 + better[0] + before, expected.published)
        np.testing.assert_array_equal(1 + better[0] + better[1] / 2, expected.realistic)


def test_a_score_that_is_nan_is_found() -> None:
    table, queries = vectors(6, 200, 3, 9)
    table[150, 4] = np.nan
    assert (steps.top_k(table, MARGIN, queries, 3)[2] == NOT_A_NUMBER).all()
    targets = np.zeros(9, np.int64)
    assert (steps.ranks(table, MARGIN, queries, targets, None, math.inf)[1] == NOT_A_NUMBER).all()
    table[150, 4] = np.inf
    queries[8, 4] = np.inf  # infinity less infinity
    expected = [CERTAIN] * 8 + [NOT_A_NUMBER]
    assert steps.top_k(table, MARGIN, queries, 3)[2].tolist() == expected
    assert steps.ranks(table, MARGIN, queries, targets, None, math.inf)[1].tolist() == expected


def test_a_score_is_what_the_header_says() -> None:
    table, queries = vectors(7, 20, 40, 1)
    table, queries = np.round(table * 64) / 64, np.round(queries * 64) / 64  # few bits: float64 does not round
    for row in range(20):
        found = steps.pairs(table, MARGIN, queries, np.array([row]))
        assert found[0] == complex_distance(queries[0], table[row], MARGIN)


@triton.jit
def _fused(a, b, c, out):
    at = tl.arange(0, 16)
    tl.store(out + at, tl.fma(tl.load(a + at), tl.load(b + at), tl.load(c + at)))


def test_the_interpreter_rounds_a_fused_multiply_add_once() -> None:
    # Triton 3.6 rounded the product, too, and every test to the bit above would hold for few inputs only.
    a, c = torch.full((16,), 1 + 2.0**-12), torch.full((16,), -1 - 2.0**-11)
    out = torch.zeros(16)
    _fused[(1,)](a, a, c, out)
    assert (out == 2.0**-24).all()
    assert (a * a + c == 0).all()
