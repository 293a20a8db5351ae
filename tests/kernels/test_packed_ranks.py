"""Rank mode over copies in bfloat16 and 8 bits: ranks are those of the canonical scores, whatever rounding takes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mmkg_sdk.errors import BackendError
from mmkg_sdk.kernels import Scan
from mmkg_sdk.ranking.exact import RankingProtocol
from mmkg_sdk.ranking.scores import InnerProduct

from .references.canonical import answer_lists, plain_ranks
from .test_packed import BATCHES, PASSES, ROWS, WIDTHS, Pass, pytestmark
from .test_ranks import PROTOCOLS
from .test_top_k import draw_lists

__all__ = ["pytestmark"]  # skips these tests too

STABLE = RankingProtocol("stable")


def check(
    table: np.ndarray,
    queries: np.ndarray,
    targets: np.ndarray,
    first_pass: Pass,
    known: list[list[int]] | None = None,
    protocol: RankingProtocol = STABLE,
    threads: int = 2,
) -> None:
    """The ranks are those of a loop over canonical scores of all pairs, and of the pass over the table."""
    plain = Scan(table, InnerProduct(), 1, "portable", "float32")
    scores = plain.pairs(np.repeat(queries, len(table), axis=0), np.tile(np.arange(len(table)), len(queries)))
    known = known or [[]] * len(queries)
    expected = plain_ranks(scores.reshape(len(queries), len(table)), targets, known, protocol)
    for scan in (Scan(table, InnerProduct(), threads, *first_pass), plain):
        found = scan.ranks(queries, targets, answer_lists(known), protocol)
        assert (found.published.tolist(), found.realistic.tolist()) == expected


def near(rng: np.random.Generator, table: np.ndarray, targets: np.ndarray, noise: float) -> np.ndarray:
    """Queries whose targets are among the best, where a copy decides almost all rows."""
    finite = np.where(np.isfinite(table), table, 0.0)
    size = noise * max(float(finite.std()), 1e-30)
    noisy: np.ndarray = finite[targets] + size * rng.standard_normal((len(targets), table.shape[1]))
    return noisy.astype(np.float32)


@pytest.mark.parametrize("first_pass", PASSES, ids=", ".join)
def test_every_edge_of_groups_words_and_panels(first_pass: Pass) -> None:
    rng = np.random.default_rng(0)
    for case in range(96):
        rows, width, batch = ROWS[case % 15], WIDTHS[case % 14], BATCHES[case % 16]
        table = rng.standard_normal((rows, width)).astype(np.float32)
        targets = rng.integers(0, rows, batch)
        # From the first place to anywhere; with the last the table itself is read.
        queries = near(rng, table, targets, (0.1, 1.0, 30.0)[case % 3])
        check(table, queries, targets, first_pass, draw_lists(rng, batch, rows), PROTOCOLS[case % 6], 1 + case % 3)


@pytest.mark.parametrize("first_pass", PASSES, ids=", ".join)
@pytest.mark.parametrize("noise", [0.1, 3.0, 6.0, 100.0])
def test_targets_at_the_top_and_anywhere_among_many_rows(first_pass: Pass, noise: float) -> None:
    rng = np.random.default_rng(1)
    table = rng.standard_normal((20_000, 96)).astype(np.float32)
    for batch in (1, 14, 130):
        targets = rng.integers(0, 20_000, batch)
        queries, known = near(rng, table, targets, noise), answer_lists(draw_lists(rng, batch, 20_000))
        expected = Scan(table, InnerProduct(), 1, "portable", "float32").ranks(queries, targets, known, STABLE)
        for threads in (1, 3):
            found = Scan(table, InnerProduct(), threads, *first_pass).ranks(queries, targets, known, STABLE)
            np.testing.assert_array_equal(found.published, expected.published)
            np.testing.assert_array_equal(found.realistic, expected.realistic)


@pytest.mark.parametrize("first_pass", PASSES, ids=", ".join)
def test_rows_as_good_as_the_target_and_rows_that_rounding_cannot_tell_from_it(first_pass: Pass) -> None:
    rng = np.random.default_rng(2)
    plain = rng.standard_normal((400, 40)).astype(np.float32)
    for spread in (0.0, 1e-7, 1e-5, 1e-3):
        copies = np.tile(plain, (4, 1)) * (1 + spread * rng.standard_normal((1600, 40)))
        table = copies[rng.permutation(1600)].astype(np.float32)
        for protocol in PROTOCOLS:
            targets = rng.integers(0, 1600, 13)
            queries = near(rng, table, targets, 0.3)
            check(table, queries, targets, first_pass, draw_lists(rng, 13, 1600), protocol)


@pytest.mark.parametrize("first_pass", PASSES, ids=", ".join)
def test_a_penalty_puts_known_answers_before_at_and_behind_the_target(first_pass: Pass) -> None:
    table = np.zeros((640, 5), np.float32)
    table[:, 0] = np.arange(640) / 4
    queries, targets = np.zeros((3, 5), np.float32), np.array([600, 630, 639])
    queries[:, 0] = 1.0
    known = [[595, 600, 604, 605], [620, 634, 639], [0, 1, 638]]
    for penalty in (0.0, 0.25, 1.0, 1.25, math.inf):
        for ties in ("floor", "optimistic", "stable"):
            check(table, queries, targets, first_pass, known, RankingProtocol(ties, penalty))


@pytest.mark.parametrize("first_pass", PASSES, ids=", ".join)
def test_magnitudes_from_denormal_to_overflowing_in_one_table(first_pass: Pass) -> None:
    rng = np.random.default_rng(3)
    sizes = 10.0 ** rng.integers(-45, 38, (1200, 1))
    table = (np.abs(rng.standard_normal((1200, 24))) * sizes).astype(np.float32)
    table[5], table[6] = 0.0, -0.0
    # Rows of one size side by side, none so large that it has to be settled: copies decide most of them.
    sorted_table = table[np.argsort(np.abs(table).max(axis=1))]
    sorted_table = sorted_table[np.abs(sorted_table).max(axis=1) < 1e17]
    for size in (0.0, 1e-45, 1e-38, 1e-30, 1e-20, 1.0, 1e15, 1e20):
        queries = (np.abs(rng.standard_normal((14, 24))) * size).astype(np.float32)
        for rows in (table, -table, sorted_table, -sorted_table):
            check(rows, queries, np.argsort(rows[:, 0])[-14:], first_pass)
            check(rows, queries, np.arange(14), first_pass)


@pytest.mark.parametrize("first_pass", PASSES, ids=", ".join)
def test_infinite_rows_and_targets_are_settled(first_pass: Pass) -> None:
    rng = np.random.default_rng(4)
    for infinity in (np.inf, -np.inf):
        table = np.abs(rng.standard_normal((2500, 16))).astype(np.float32)
        table[::500, 3] = infinity
        for targets in (np.arange(1, 14), np.repeat([0, 500, 7], 5)):
            queries = np.abs(near(rng, table, targets, 0.1)) + np.float32(0.1)
            check(table, queries, targets, first_pass)


@pytest.mark.parametrize("first_pass", PASSES, ids=", ".join)
def test_nan_among_the_rows_or_in_one_query_is_an_error(first_pass: Pass) -> None:
    rng = np.random.default_rng(5)
    table = rng.standard_normal((3000, 40)).astype(np.float32)
    targets = np.arange(20)
    queries, known = near(rng, table, targets, 0.1), answer_lists([[]] * 20)
    wrong, table[2000, 7] = queries.copy(), np.nan
    with pytest.raises(BackendError, match="NaN"):
        Scan(table, InnerProduct(), 2, *first_pass).ranks(queries, targets, known, STABLE)
    table[2000, 7], wrong[11, 3] = 0.0, np.nan
    with pytest.raises(BackendError, match="NaN"):
        Scan(table, InnerProduct(), 2, *first_pass).ranks(wrong, targets, known, STABLE)
    Scan(table, InnerProduct(), 2, *first_pass).ranks(queries, targets, known, STABLE)


@pytest.mark.parametrize("first_pass", PASSES, ids=", ".join)
def test_a_table_that_suits_its_copy_ill(first_pass: Pass) -> None:
    """A few numbers far larger than the rest, and rows with much in common: almost everything is open."""
    rng = np.random.default_rng(6)
    table = rng.standard_normal((1500, 40)).astype(np.float32)
    targets = rng.integers(0, 1500, 70)
    for size in (30.0, 1e4):
        outliers, alike = table.copy(), table + np.float32(size)
        outliers[::7, 5] *= size
        for odd in (outliers, alike):
            check(odd, near(rng, table, targets, 0.2), targets, first_pass)
