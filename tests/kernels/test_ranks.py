"""Ranks of the compiled kernels against a loop over all candidates."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mmkg_sdk.backends.tables import NumpyRanking
from mmkg_sdk.kernels import Scan
from mmkg_sdk.ranking.exact import RankingProtocol
from mmkg_sdk.ranking.scores import CandidateScore

from .conftest import OpenScan
from .references.canonical import answer_lists, plain_ranks
from .test_top_k import BATCHES, SCORES, SIZES, WIDTHS, draw_lists, exact_scores, exact_vectors

PROTOCOLS = [
    RankingProtocol(ties, penalty) for ties in ("floor", "optimistic", "stable") for penalty in (math.inf, 1.0)
]


@pytest.mark.parametrize("score", SCORES, ids=["inner product", "distance"])
def test_ranks_are_those_of_a_plain_loop_at_every_edge(score: CandidateScore, open_scan: OpenScan) -> None:
    rng = np.random.default_rng(0)
    for case in range(60):
        rows, width, batch = SIZES[case % 18], WIDTHS[case % 14], BATCHES[case % 17]
        protocol = PROTOCOLS[case % 6]
        table, queries = exact_vectors(rng, score, rows, width), exact_vectors(rng, score, batch, width)
        known, targets = draw_lists(rng, batch, rows), rng.integers(0, rows, batch)
        found = open_scan(table, score, 1 + case % 3).ranks(queries, targets, answer_lists(known), protocol)
        scores = exact_scores(score, queries, table).astype(np.float32)
        published, realistic = plain_ranks(scores, targets, known, protocol)
        assert found.published.tolist() == published
        assert found.realistic.tolist() == realistic


@pytest.mark.parametrize("score", SCORES, ids=["inner product", "distance"])
def test_ranks_of_real_numbers_are_the_places_in_the_kernels_own_order(
    score: CandidateScore, open_scan: OpenScan
) -> None:
    rng = np.random.default_rng(1)
    table = rng.standard_normal((1201, 66)).astype(np.float32)
    for batch in (2, 45):
        queries, targets = rng.standard_normal((batch, 66)).astype(np.float32), rng.integers(0, 1201, batch)
        scan = open_scan(table, score, 2)
        ids = scan.top_k(queries, 1201).ids.reshape(batch, 1201)
        places = 1.0 + np.argmax(ids == targets[:, None], axis=1)
        found = scan.ranks(queries, targets, answer_lists([[]] * batch), RankingProtocol("stable"))
        np.testing.assert_array_equal(found.published, places)


def test_numpy_gives_the_same_ranks_in_batches_of_its_own() -> None:
    rng = np.random.default_rng(2)
    score = SCORES[0]
    table, queries = exact_vectors(rng, score, 40, 6), exact_vectors(rng, score, 1100, 6)
    known, targets = draw_lists(rng, 1100, 40), rng.integers(0, 40, 1100)
    for protocol in PROTOCOLS:
        expected = NumpyRanking(table, score).ranks(queries, targets, answer_lists(known), protocol)
        found = Scan(table, score).ranks(queries, targets, answer_lists(known), protocol)
        np.testing.assert_array_equal(found.published, expected.published)
        np.testing.assert_array_equal(found.realistic, expected.realistic)


@pytest.mark.parametrize("score", SCORES, ids=["inner product", "distance"])
def test_a_question_asked_again_for_its_other_answers(score: CandidateScore, open_scan: OpenScan) -> None:
    rng = np.random.default_rng(3)
    table, questions = exact_vectors(rng, score, 60, 6), exact_vectors(rng, score, 5, 6)
    lists = [[1, 4, 40], [1, 4, 40], [], [0, *range(20, 59)], [1, 5, 40]]
    # The same question, the same list with another question, and another list with the same question.
    asked, listed = [0, 0, 0, 1, 1, 2, 3, 3, 4, 4, 0], [0, 0, 0, 0, 1, 2, 3, 3, 4, 0, 0]
    queries, known = questions[asked], [lists[i] for i in listed]
    targets, scores = rng.integers(0, 60, 11), exact_scores(score, queries, table).astype(np.float32)
    for protocol in PROTOCOLS:
        found = open_scan(table, score, 2).ranks(queries, targets, answer_lists(known), protocol)
        assert (found.published.tolist(), found.realistic.tolist()) == plain_ranks(scores, targets, known, protocol)
