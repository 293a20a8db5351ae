"""The exact answers of a race, and random tables made in blocks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmkg_sdk.bench.race.exact_answers import ExactAnswers, exact_answers
from mmkg_sdk.bench.race.random_table import random_batch, table_blocks, whole_table
from mmkg_sdk.ranking.scores import ComplexDistance, InnerProduct


@pytest.mark.parametrize("score", [InnerProduct(), ComplexDistance(0.0)], ids=["product", "distance"])
@pytest.mark.parametrize(("rows", "k"), [(1, 1), (32_768, 3), (32_769, 10), (70_001, 10)])
def test_they_are_the_best_rows_in_float64(rows: int, k: int, score: InnerProduct | ComplexDistance) -> None:
    found = exact_answers(rows, 4, 5, score, 3, k)
    table, queries = whole_table(rows, 4, 5).astype(float), random_batch(0, 3, 4, 5).astype(float)
    scores = queries @ table.T
    if isinstance(score, ComplexDistance):
        difference = queries[:, None] - table
        scores = -np.sqrt(difference[..., :2] ** 2 + difference[..., 2:] ** 2).sum(axis=2)
    order = np.argsort(-scores, axis=1)[:, :k]
    np.testing.assert_array_equal(found.ids, order)
    np.testing.assert_allclose(found.scores, np.take_along_axis(scores, order, axis=1), atol=1e-12)


def test_blocks_are_the_whole_table_and_depend_on_the_seed() -> None:
    blocks = list(table_blocks(70_001, 3, 1))
    assert [start for start, _ in blocks] == [0, 32768, 65536]
    np.testing.assert_array_equal(np.concatenate([block for _, block in blocks]), whole_table(70_001, 3, 1))
    assert not np.array_equal(whole_table(5, 3, 1), whole_table(5, 3, 2))
    np.testing.assert_array_equal(random_batch(1, 50, 3, 1)[:7], random_batch(1, 7, 3, 1))


def test_answers_are_compared_by_ids_in_any_order_and_scores_by_place(tmp_path: Path) -> None:
    exact = ExactAnswers(np.array([[4, 2, 9], [1, 3, 5]]), np.array([[3.0, 2.0, 1.0], [6.0, 5.0, 4.0]]))
    exact.save(tmp_path / "exact.npz")
    read = ExactAnswers.read(tmp_path / "exact.npz")
    assert read.compared(exact.ids, exact.scores) == (1.0, 0.0)
    share, error = read.compared(np.array([[2, 4], [1, 5]]), np.array([[3.0, 2.25], [6.0, 5.0]], np.float32))
    assert (share, error) == (0.75, 0.25)
    # More queries than are known: the first ones count.
    assert read.compared(np.array([[4], [1], [0]]), np.array([[3.0], [6.0], [0.0]])) == (1.0, 0.0)
