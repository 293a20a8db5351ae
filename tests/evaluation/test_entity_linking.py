"""Ranks and metrics against a loop that a child could check."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from mmkg_sdk.errors import BackendError, DataError
from mmkg_sdk.evaluation import entity_linking
from mmkg_sdk.evaluation.entity_linking import evaluate_linking


def rank_by_hand(scores: list[float], answer: int) -> int:
    """A stable descending sort: whoever scores more stands before, and of equals whoever has the lower row."""
    return 1 + sum(s > scores[answer] or (s == scores[answer] and row < answer) for row, s in enumerate(scores))


@pytest.mark.parametrize("given", [np.asarray, torch.from_numpy])
@pytest.mark.parametrize("chunk", [1, 3, 64])
def test_ranks_are_those_of_a_stable_sort_however_they_are_chunked(
    chunk: int, given: Callable[[np.ndarray], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entity_linking, "MENTION_CHUNK", chunk)
    random = np.random.default_rng(0)
    scores = random.integers(0, 6, (50, 40)).astype(np.float32)  # many ties
    answers = random.integers(0, 40, 50)
    asked: list[slice] = []

    def block(rows: slice) -> Any:
        asked.append(rows)
        return given(scores[rows])

    report = evaluate_linking(block, answers)
    expected = [rank_by_hand(row.tolist(), answer) for row, answer in zip(scores, answers.tolist(), strict=True)]
    assert report.ranks.tolist() == expected
    assert max(rows.stop - rows.start for rows in asked) <= chunk
    assert (1 / np.array(expected)).mean() == report.metrics()["mrr"]
    assert report.metrics()["mean_rank"] == np.mean(expected)
    for k in (1, 3, 5, 10, 20):
        assert report.metrics()[f"hits_at_{k}"] == np.mean([rank <= k for rank in expected])
    assert report.to_json() == {"mentions": 50, "candidates": 40, **report.metrics()}


def test_mentions_whose_text_is_cut_are_counted() -> None:
    scores, cut = np.zeros((3, 9), np.float32), np.array([True, False, True])
    with pytest.warns(UserWarning, match=r"2 of 3 mentions have longer sentences than the model reads \(text_length\)"):
        report = evaluate_linking(scores.__getitem__, np.array([0, 4, 8]), cut)
    assert report.to_json() == {"mentions": 3, "candidates": 9, "cut": 2, **report.metrics()}


def test_all_equal_scores_rank_by_row() -> None:
    report = evaluate_linking(np.zeros((3, 9), np.float32).__getitem__, np.array([0, 4, 8]))
    assert report.ranks.tolist() == [1, 5, 9]


def test_a_nan_never_ranks_first() -> None:
    scores = np.zeros((2, 5), np.float32)
    scores[1, 3] = np.nan
    with pytest.raises(BackendError, match="a score is NaN"):
        evaluate_linking(scores.__getitem__, np.array([0, 3]))


def test_nothing_to_evaluate_is_said() -> None:
    with pytest.raises(DataError, match="this split has no mentions"):
        evaluate_linking(lambda rows: np.zeros((0, 5), np.float32), np.empty(0, np.int64))
