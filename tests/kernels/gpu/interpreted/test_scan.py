"""Top-k of the CUDA kernels in Triton's interpreter against the CPU kernels, to the bit. Not run on a GPU."""

from __future__ import annotations

import numpy as np
import pytest

from mmkg_sdk.kernels import Scan, library
from mmkg_sdk.ranking.scores import InnerProduct

from ...references.canonical import answer_lists, plain_top_k
from . import scan_steps
from .scan_steps import EDGES, Table, top_k

if isinstance(library(), str):
    pytest.skip(str(library()), allow_module_level=True)


def assert_as_on_the_cpu(
    table: Table,
    queries: np.ndarray,
    k: int,
    excluded: list[list[int]] | None = None,
    candidates: np.ndarray | None = None,
) -> np.ndarray:
    """Gives the certificates of the first pass."""
    lists = None if excluded is None else answer_lists(excluded)
    table.passes.clear()
    ids, scores, certificates = top_k(table, queries, k, lists, candidates)
    expected = Scan(table.array, InnerProduct(), 1).top_k(queries, k, lists, candidates)
    assert [len(row) for row in ids] == np.diff(expected.offsets).tolist()
    assert np.concatenate(ids).tolist() == expected.ids.tolist()
    found = np.concatenate(scores)
    assert found.view(np.uint32).tolist() == expected.scores.view(np.uint32).tolist()
    assert (certificates == 1).all()
    return certificates


def draw(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(("rows", "width", "narrow", "tensor_map"), EDGES)
def test_answers_at_the_edges_of_tiles(rows: int, width: int, narrow: bool, tensor_map: bool) -> None:
    rng = np.random.default_rng(rows)
    table = Table(draw(rows, rows, width), narrow, tensor_map)
    excluded = [np.flatnonzero(rng.random(rows) < share).tolist() for share in (0.0, 0.1, 1.0)]
    assert_as_on_the_cpu(table, draw(1, 3, width), 10, excluded)
    assert table.passes == ["bfloat16"]


@pytest.mark.parametrize("tensor_map", [False, True])
def test_a_wide_table_and_more_queries_than_a_program_takes(tensor_map: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_steps, "ROOM", 0)  # 9 of 32 bins are settled: the others must be known to be worse
    table = Table(draw(2, 500, 130), narrow=False, tensor_map=tensor_map)
    assert_as_on_the_cpu(table, draw(3, 17, 130), 1)
    assert table.passes == ["bfloat16"]


def test_ties_and_duplicates_go_to_the_lower_id() -> None:
    rng = np.random.default_rng(4)
    array = rng.integers(-2, 3, (300, 20)).astype(np.float32)
    array[150:] = array[:150]
    queries = rng.integers(-2, 3, (3, 20)).astype(np.float32)
    excluded = [[0, 5, 299], [], list(range(0, 300, 2))]
    assert_as_on_the_cpu(Table(array), queries, 40, excluded)
    ids, _, _ = top_k(Table(array), queries, 40, answer_lists(excluded))
    assert [row.tolist() for row in ids] == plain_top_k(queries.astype(np.float64) @ array.T, 40, excluded)


def test_few_bins_of_many_are_settled_and_certain() -> None:
    table = Table(draw(5, 4001, 32), parts=3)
    queries = draw(6, 4, 32)
    best = np.argsort(-(queries.astype(np.float64) @ table.array.T), axis=1)
    excluded = [[], *(sorted(row[:n].tolist()) for row, n in zip(best[1:], (1, 9, 20), strict=True))]
    _, _, certificates = top_k(table, queries, 2, answer_lists(excluded), widen=False)
    assert certificates.tolist() == [1, 1, 1, 1]
    # 10 wanted bins a query, one for each excluded row, and what is within twice the slack: 16 rows each, of which few
    # come near enough to be scored in float32.
    assert 4 * 2 <= table.settled < 4 * 30
    assert_as_on_the_cpu(table, queries, 2, excluded)
    assert table.passes == ["bfloat16"]


def test_k_of_a_hundred_and_of_a_thousand() -> None:
    table = Table(draw(7, 1201, 16))
    assert_as_on_the_cpu(table, draw(8, 1, 16), 100)
    assert_as_on_the_cpu(table, draw(8, 1, 16), 1024, [[3, 7]])


def test_what_bfloat16_cannot_tell_apart_is_uncertain_and_answered_by_the_exact_pass() -> None:
    rng = np.random.default_rng(9)
    # Equal in bfloat16, which has 8 bits: 1 + 2^-12 x some whole number below 4.
    array = (1 + rng.integers(0, 4, (1500, 16)) / 4096).astype(np.float32)
    queries = np.ones((2, 16), np.float32)
    table = Table(array)
    _, _, certificates = top_k(table, queries, 3, widen=False)
    assert certificates.tolist() == [0, 0]
    assert_as_on_the_cpu(table, queries, 3, [[], [2, 3]])
    assert table.passes == ["bfloat16", "exact"]


def test_a_query_of_zeros_takes_the_lowest_ids_in_the_exact_pass() -> None:
    table, queries = Table(draw(10, 2000, 16)), np.zeros((1, 16), np.float32)
    assert_as_on_the_cpu(table, queries, 4, [[1, 2]])
    assert table.passes == ["bfloat16", "exact"]


def test_padding_rows_do_not_push_out_negative_scores() -> None:
    array = -np.abs(draw(11, 1411, 16)) - 1
    table, queries = Table(array), np.abs(draw(12, 2, 16)) + 1
    _, scores, certificates = top_k(table, queries, 3, widen=False)
    assert certificates.tolist() == [1, 1]
    assert np.concatenate(scores).max() < 0
    assert_as_on_the_cpu(table, queries, 3)


def test_negative_zeros_and_denormals() -> None:
    rng = np.random.default_rng(13)
    array = rng.choice(np.array([-0.0, 0.0, 1e-40, -1e-40, 1e-22, 3e-38], np.float32), (140, 16))
    queries = rng.choice(np.array([-0.0, 1.0, 1e-38, 1e-22, -1.0], np.float32), (3, 16))
    queries[0] = -0.0
    assert_as_on_the_cpu(Table(array), queries, 12)


def test_infinite_scores_are_answers_and_negative_ones_are_none() -> None:
    array = draw(14, 200, 16)
    array[[3, 190], 0] = np.inf, -np.inf
    queries = np.abs(draw(15, 2, 16)) + 0.5
    table = Table(array)
    assert_as_on_the_cpu(table, queries, 200)
    assert table.passes == ["bfloat16", "exact"]


@pytest.mark.parametrize("excluded", [None, [[], [5]]])
def test_nan_is_found(excluded: list[list[int]] | None) -> None:
    array, queries = draw(16, 300, 16), draw(17, 2, 16)
    array[5, 0], queries[:, 0] = np.inf, (1.0, 0.0)
    lists = None if excluded is None else answer_lists(excluded)
    _, _, certificates = top_k(Table(array), queries, 3, lists)
    assert certificates.tolist() == [1, 2]


def test_scores_that_overflow_are_left_to_the_exact_pass() -> None:
    array, queries = np.abs(draw(18, 200, 16)) * np.float32(1e19), np.abs(draw(19, 2, 16)) * np.float32(1e19)
    table = Table(array)
    assert_as_on_the_cpu(table, queries, 5)
    assert table.passes == ["bfloat16", "exact"]


def test_candidates_answer_with_ids_of_the_table() -> None:
    table, queries = Table(draw(20, 700, 24)), draw(21, 5, 24)
    candidates = np.flatnonzero(np.random.default_rng(22).random(700) < 0.4)
    excluded = [[], candidates[:9].tolist(), [0, 1, 2], candidates.tolist(), []]
    assert_as_on_the_cpu(table, queries, 7, excluded, candidates)
    assert_as_on_the_cpu(table, queries, 7, None, candidates[:1])


def test_more_excluded_rows_than_the_limit_may_take_a_second_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_steps, "LIMIT", 8)
    monkeypatch.setattr(scan_steps, "ROOM", 0)
    table, queries = Table(draw(23, 1500, 16)), draw(24, 2, 16)
    best = np.argsort(-(queries @ table.array.T), axis=1)
    assert_as_on_the_cpu(table, queries, 1, [sorted(best[0, :60].tolist()), []])
    assert table.passes == ["bfloat16", "exact"]
