"""Rank mode of the CUDA kernels in Triton's interpreter against the CPU kernels. Not run on a GPU."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mmkg_sdk.kernels import Scan, library
from mmkg_sdk.ranking.exact import RankingProtocol, ranks_of_counts
from mmkg_sdk.ranking.scores import InnerProduct

from ...references.canonical import answer_lists
from .scan_steps import EDGES, Table, ranks

if isinstance(library(), str):
    pytest.skip(str(library()), allow_module_level=True)


def assert_as_on_the_cpu(
    table: Table, queries: np.ndarray, targets: np.ndarray, known: list[list[int]], penalty: float
) -> None:
    """By products in bfloat16 and by the exact pass."""
    lists = answer_lists(known)
    scan = Scan(table.array, InnerProduct(), 1)
    for exactly in (False, True):
        counts, certificates = ranks(table, queries, targets, lists, penalty, exactly=exactly)
        assert (certificates == 1).all()
        for protocol in (RankingProtocol("floor", penalty), RankingProtocol("stable", penalty)):
            expected = scan.ranks(queries, targets, lists, protocol)
            found = ranks_of_counts(counts[:3], protocol)
            assert found.published.tolist() == expected.published.tolist()
            assert found.realistic.tolist() == expected.realistic.tolist()


@pytest.mark.parametrize(("rows", "width", "narrow", "tensor_map"), EDGES)
def test_ranks_at_the_edges_of_tiles(rows: int, width: int, narrow: bool, tensor_map: bool) -> None:
    rng = np.random.default_rng(rows)
    table = Table(rng.standard_normal((rows, width)).astype(np.float32), narrow, tensor_map)
    queries, targets = rng.standard_normal((3, width)).astype(np.float32), rng.integers(0, rows, 3)
    known = [np.flatnonzero(rng.random(rows) < share).tolist() for share in (0.0, 0.3, 1.0)]
    assert_as_on_the_cpu(table, queries, targets, known, (math.inf, 1.0)[rows % 2])


@pytest.mark.parametrize("penalty", [math.inf, 1.0, 0.0])
def test_ties_are_counted_with_ids_below_the_target(penalty: float) -> None:
    rng = np.random.default_rng(1)
    array, queries = (rng.integers(-1, 2, (n, 12)).astype(np.float32) for n in (400, 4))
    array[200:] = array[:200]
    queries[3] = 0
    targets = rng.integers(0, 400, 4)
    known = [[], [int(targets[1])], sorted({3, 5, 77, int(targets[2])}), list(range(0, 400, 3))]
    assert_as_on_the_cpu(Table(array, parts=3), queries, targets, known, penalty)


def test_padding_rows_are_not_before_negative_targets() -> None:
    rng = np.random.default_rng(2)
    array, queries = (1 + rng.random((n, 16)).astype(np.float32) for n in (130, 3))
    assert_as_on_the_cpu(Table(-array), queries, np.array([0, 64, 129]), [[], [1], [128]], math.inf)


def test_more_uncertain_rows_than_are_listed_are_left_to_the_exact_pass() -> None:
    array, queries = np.ones((300, 16), np.float32), np.ones((2, 16), np.float32)
    queries[1] = 0
    table, targets = Table(array), np.array([7, 299])
    counts, certificates = ranks(table, queries, targets, None, math.inf, capacity=128)
    assert certificates.tolist() == [0, 0]
    counts, certificates = ranks(table, queries, targets, None, math.inf, exactly=True)
    assert certificates.tolist() == [1, 1]
    assert counts.tolist() == [[0, 0], [299, 299], [7, 299]]


def test_infinite_and_overflowing_scores_are_left_to_the_exact_pass() -> None:
    rng = np.random.default_rng(3)
    array, queries = rng.standard_normal((150, 16)).astype(np.float32), np.ones((2, 16), np.float32)
    array[3, 0] = np.inf
    targets, known = np.array([3, 4]), answer_lists([[], [3]])
    _, certificates = ranks(Table(array), queries, targets, known, math.inf)
    assert certificates.tolist() == [0, 0]
    counts, certificates = ranks(Table(array), queries, targets, known, math.inf, exactly=True)
    expected = Scan(array, InnerProduct(), 1).ranks(queries, targets, known, RankingProtocol("stable"))
    found = ranks_of_counts(counts[:3], RankingProtocol("stable"))
    assert found.published.tolist() == expected.published.tolist()
    assert certificates.tolist() == [1, 1]


def test_nan_is_found() -> None:
    array, queries = np.ones((150, 16), np.float32), np.ones((2, 16), np.float32)
    array[140, 2], queries[1, 2] = np.inf, 0.0
    targets = np.array([3, 4])
    _, certificates = ranks(Table(array), queries, targets, None, math.inf)
    assert certificates.tolist() == [0, 0]
    _, certificates = ranks(Table(array), queries, targets, None, math.inf, exactly=True)
    assert certificates.tolist() == [1, 2]
