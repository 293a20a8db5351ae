"""First passes over copies in bfloat16 and 8 bits: their answers are those of the table, whatever rounding takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mmkg_sdk.kernels import Scan, TopKReport, instruction_sets
from mmkg_sdk.kernels.scan import Storage
from mmkg_sdk.ranking.exact import TopK
from mmkg_sdk.ranking.scores import ComplexDistance, InnerProduct

from .conftest import storage_of
from .references.canonical import answer_lists, as_lists, plain_top_k

# Every pass that this processor has: an instruction set, and what it adds to the sets before.
Pass = tuple[str, Storage]
PASSES: list[Pass] = [(name, storage_of(name, InnerProduct())) for name in instruction_sets() if name != "portable"]
pytestmark = pytest.mark.skipif(not PASSES, reason="this processor has no instruction set with packed copies")

# One below, at and above: groups of 16 rows, tiles of 32, blocks of 512 KiB at width 1,030.
ROWS = [1, 2, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 97, 1023, 1025]
# The same for words of 2 and 4 numbers, taken 2 at a time.
WIDTHS = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 1030]
# The same for 6 and 12 queries at a time, and for 24 a thread.
BATCHES = [1, 2, 3, 5, 7, 12, 13, 23, 24, 25, 47, 48, 49, 71, 72, 73]


def assert_same(found: TopK, expected: TopK) -> None:
    np.testing.assert_array_equal(found.offsets, expected.offsets)
    np.testing.assert_array_equal(found.ids, expected.ids)
    np.testing.assert_array_equal(found.scores.view(np.int32), expected.scores.view(np.int32))


def check(
    table: np.ndarray, queries: np.ndarray, k: int, first_pass: Pass, *lists: Any, threads: int = 2
) -> TopKReport:
    """The answers are those of canonical scores of all pairs, sorted."""
    plain = Scan(table, InnerProduct(), 1, "portable", "float32")
    scores = plain.pairs(np.repeat(queries, len(table), axis=0), np.tile(np.arange(len(table)), len(queries)))
    scores = scores.reshape(len(queries), len(table))
    found, report = Scan(table, InnerProduct(), threads, *first_pass).top_k_with_report(queries, k, *lists)
    excluded = [[]] * len(queries) if not lists or lists[0] is None else as_lists(lists[0].offsets, lists[0].ids)
    candidates = lists[1] if len(lists) > 1 else None
    assert as_lists(found.offsets, found.ids) == plain_top_k(scores, k, excluded, candidates)
    chosen = scores[np.repeat(np.arange(len(queries)), np.diff(found.offsets)), found.ids]
    np.testing.assert_array_equal(found.scores.view(np.int32), chosen.view(np.int32))
    return report


@pytest.mark.parametrize("first_pass", PASSES, ids=", ".join)
def test_every_edge_of_groups_words_and_panels(first_pass: Pass) -> None:
    rng = np.random.default_rng(0)
    for case in range(96):
        rows, width, batch = ROWS[case % 17], WIDTHS[case % 14], BATCHES[case % 16]
        table = rng.standard_normal((rows, width)).astype(np.float32)
        queries = rng.standard_normal((batch, width)).astype(np.float32)
        excluded = answer_lists([np.flatnonzero(rng.random(rows) < 0.2).tolist() for _ in range(batch)])
        # Few candidates are ranked by the table itself.
        share = (0.1, 0.6, 1.0)[case % 3]
        candidates = np.flatnonzero(rng.random(rows) < share)
        check(table, queries, 1 + case % 11, first_pass, excluded, candidates, threads=1 + case % 3)


@pytest.mark.parametrize("first_pass", PASSES, ids=", ".join)
@pytest.mark.parametrize("k", [1, 10, 100, 1024])
def test_many_answers_of_many_rows(first_pass: Pass, k: int) -> None:
    rng = np.random.default_rng(1)
    table = rng.standard_normal((20_000, 48)).astype(np.float32)
    for batch in (1, 14, 60):
        queries = rng.standard_normal((batch, 48)).astype(np.float32)
        # As they come, and sorted, which is the worst case for thresholds that rise as rows are seen.
        for sign in (0, 1, -1):
            rows = table[np.argsort(sign * (table @ queries[0]), kind="stable")]
            found, report = Scan(rows, InnerProduct(), 2, *first_pass).top_k_with_report(queries, k)
            assert_same(found, Scan(rows, InnerProduct(), 1, None, "float32").top_k(queries, k))
            assert report.bounded == batch * 20_000
            assert batch * k <= report.settled <= batch * (20_000 if sign else 8 * k + 100)


@pytest.mark.parametrize("first_pass", PASSES, ids=", ".join)
@pytest.mark.parametrize("spread", [0.0, 1e-6, 1e-4, 1e-3, 1e-2])
def test_rows_that_rounding_cannot_tell_apart_fill_every_list(first_pass: Pass, spread: float) -> None:
    rng = np.random.default_rng(2)
    table = (rng.standard_normal(40) * (1 + spread * rng.standard_normal((3000, 40)))).astype(np.float32)
    for batch in (1, 30):
        check(table, rng.standard_normal((batch, 40)).astype(np.float32), 3, first_pass)


@pytest.mark.parametrize("first_pass", PASSES, ids=", ".join)
def test_outliers_of_rows_and_queries(first_pass: Pass) -> None:
    """A few numbers far larger than the rest: 8 bits lose all others."""
    rng = np.random.default_rng(3)
    table, queries = (rng.standard_normal((rows, 40)).astype(np.float32) for rows in (1500, 20))
    for size in (30.0, 1e3, 1e8, 1e17):
        table[::7, 5] = size * rng.standard_normal(len(table[::7]))
        check(table, queries, 10, first_pass)
        queries[::3, 5] = 0.0  # such rows are now as good as any other, and only their lost numbers count
        check(table, queries, 10, first_pass)
        queries[::2, 9] = size
        check(table, queries, 10, first_pass)


@pytest.mark.parametrize("first_pass", PASSES, ids=", ".join)
def test_magnitudes_from_denormal_to_overflowing_in_one_table(first_pass: Pass) -> None:
    rng = np.random.default_rng(4)
    sizes = 10.0 ** rng.integers(-45, 38, (1200, 1))
    table = (np.abs(rng.standard_normal((1200, 24))) * sizes).astype(np.float32)
    table[5], table[6] = 0.0, -0.0
    for size in (0.0, 1e-45, 1e-38, 1e-30, 1e-20, 1.0, 1e15, 1e20):
        queries = (np.abs(rng.standard_normal((14, 24))) * size).astype(np.float32)
        check(table, queries, 7, first_pass)
        check(table[:, ::-1].copy(), -queries, 7, first_pass)


@pytest.mark.parametrize("first_pass", PASSES, ids=", ".join)
def test_infinite_rows_are_settled_in_the_memory_of_a_list(first_pass: Pass) -> None:
    rng = np.random.default_rng(5)
    table = np.abs(rng.standard_normal((2500, 16))).astype(np.float32)
    queries = np.abs(rng.standard_normal((13, 16))).astype(np.float32)
    table[::5, 3] = np.inf
    check(table, queries, 4, first_pass)
    table[::5, 3] = -np.inf
    report = check(table, queries, 4, first_pass)
    assert report.settled >= 13 * 500


@pytest.mark.parametrize("first_pass", PASSES, ids=", ".join)
def test_the_best_rows_of_all_excluded(first_pass: Pass) -> None:
    rng = np.random.default_rng(6)
    table = rng.standard_normal((2000, 24)).astype(np.float32)
    queries = rng.standard_normal((30, 24)).astype(np.float32)
    best = np.argsort(-(queries @ table.T), axis=1)
    for left in (1900, 400, 3, 0):
        check(table, queries, 5, first_pass, answer_lists([row[: 2000 - left].tolist() for row in best]))


INT8 = [name for name, storage in PASSES if storage == "int8"]


@pytest.mark.parametrize("name", INT8)
def test_the_largest_sums_of_codes_fit(name: str) -> None:
    width = 1 << 17
    table = np.ones((3, width), np.float32)
    table[1:, : width // 2] = -1.0
    table[2] = -1.0
    for queries in (np.ones((2, width), np.float32), np.full((1, width), -3.0, np.float32)):
        check(table, queries, 2, (name, "int8"))
    with pytest.raises(Exception, match="width of at most"):
        Scan(np.ones((1, width + 1), np.float32), InnerProduct(), 1, name, "int8")


@pytest.mark.parametrize("name", INT8)
@pytest.mark.parametrize("sign", [1, -1])
def test_the_best_row_has_the_largest_codes_of_all(name: str, sign: int) -> None:
    """Where pairs of its products do not fit 16 bits, it falls behind rows whose pairs do."""
    rng = np.random.default_rng(8)
    table = np.ones((3000, 64), np.float32)
    table[:, 1::2] -= 0.15 * rng.random((3000, 32), np.float32)
    table[2000] = 1.0
    queries = sign * np.ones((7, 64), np.float32)
    for rows in (table, -table):
        check(rows, queries, 1, (name, "int8"))


def test_auto_takes_the_copy_that_suits_the_table() -> None:
    rng = np.random.default_rng(7)
    table = rng.standard_normal((1000, 64)).astype(np.float32)
    sizes = {"float32": (4, 4), "bfloat16": (132, 140), "int8": (72, 80)}
    for name, storage in (("portable", "float32"), *PASSES):
        least, most = sizes[storage]
        assert least * 1000 <= Scan(table, InnerProduct(), 1, name, storage).extra_bytes <= most * 1024
        assert Scan(table, InnerProduct(), 1, name).storage == ("float32" if name == "portable" else "int8")
    assert Scan(table, ComplexDistance(1.0), 1).storage == "float32"
    assert Scan(table, ComplexDistance(1.0), 1).extra_bytes == 0
    outliers, alike = table.copy(), table + 10 * rng.standard_normal(64).astype(np.float32)
    outliers[:, 0] = 100.0  # much in common, and all else is lost
    for odd in (outliers, alike):
        for name, added in PASSES:
            assert Scan(odd, InnerProduct(), 1, name).storage == ("bfloat16" if added == "bfloat16" else "float32")
    table[3, 3] = np.inf
    assert Scan(table, InnerProduct(), 1).storage == "int8"


@pytest.mark.parametrize(("largest", "of_seven_bits", "of_eight_bits"), [(4, "int8", "int8"), (7, "float32", "int8")])
def test_auto_bears_more_error_where_there_is_no_bfloat16(
    largest: float, of_seven_bits: str, of_eight_bits: str
) -> None:
    rng = np.random.default_rng(8)
    table = rng.standard_normal((500, 256), np.float32)
    # One number of a row sets its scale: bounds of 0.43 and 0.61 with queries of 7 bits, of 0.28 and 0.41 with 8.
    table[np.arange(500), rng.integers(0, 256, 500)] *= np.float32(largest)
    for name, added in PASSES:
        if added == "bfloat16":
            expected = "int8" if largest == 4 else "bfloat16"
        else:
            expected = of_eight_bits if name.endswith(("vnni", "dot")) else of_seven_bits
        assert Scan(table, InnerProduct(), 1, name).storage == expected, name


def test_reports_say_what_answers_took() -> None:
    table, queries = np.eye(6, dtype=np.float32), np.eye(6, dtype=np.float32)
    scan = Scan(table, InnerProduct(), 1, "portable")
    assert scan.top_k_with_report(queries[:0], 1)[1] == TopKReport(0, 0, 0, 1.0)
    found, report = scan.top_k_with_report(queries, 1)
    assert_same(found, scan.top_k(queries, 1))
    assert report.bounded == 36
    assert 6 <= report.settled <= 36
    assert 1 <= report.most_settled <= 6
    assert report.few_settled == 1.0
    # One query is scored without a first pass.
    alone = Scan(table, InnerProduct(), 1, instruction_sets()[-1], "float32").top_k_with_report(queries[:1], 1)[1]
    assert alone == TopKReport(0, 6, 6, 1.0)
