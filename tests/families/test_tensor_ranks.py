"""Ranks counted with torch against numpy's and against a loop; on the CPU, as no GPU has run them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mmkg_sdk.errors import BackendError
from mmkg_sdk.families import tensor_ranks as module
from mmkg_sdk.families.tensor_ranks import tensor_ranks
from mmkg_sdk.ranking.exact import RankingProtocol, filtered_ranks
from mmkg_sdk.ranking.known_triples import AnswerLists

PROTOCOLS = [
    RankingProtocol("floor"),
    RankingProtocol("optimistic", 2.0),
    RankingProtocol("stable"),
    RankingProtocol("stable", 1.0),
]


def asked(
    batch: int, candidates: int, dtype: type, seed: int
) -> tuple[np.ndarray, np.ndarray, list[list[int]], AnswerLists]:
    """Scores with many ties, right answers, and known ones, of which some are right."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(-2, 3, (batch, candidates)).astype(dtype)
    targets = rng.integers(candidates, size=batch)
    lists = [
        sorted({*rng.integers(candidates, size=rng.integers(6)).tolist(), *targets[i : i + 1 + i % 2]})
        for i in range(batch)
    ]
    offsets = np.cumsum([0, *map(len, lists)])
    return scores, targets, lists, AnswerLists(offsets, np.array([id for row in lists for id in row], np.int64))


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sizes", [(1, 1), (1, 7), (13, 101), (3, 64)])
def test_counted_as_numpy_counts(
    sizes: tuple[int, int], dtype: type, protocol: RankingProtocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores, targets, _, known = asked(*sizes, dtype, sum(sizes))
    expected = filtered_ranks(scores, targets, known, protocol)
    for numbers in (module._NUMBERS, 5 * sizes[0]):  # all at once, and five candidates at a time
        monkeypatch.setattr(module, "_NUMBERS", numbers)
        found = tensor_ranks(torch.from_numpy(scores), targets, known, protocol)
        np.testing.assert_array_equal(found.published, expected.published)
        np.testing.assert_array_equal(found.realistic, expected.realistic)
        assert found.published.dtype == np.float64


def test_counted_as_a_loop_counts() -> None:
    scores, targets, lists, known = asked(11, 23, np.float32, 3)
    found = tensor_ranks(torch.from_numpy(scores), targets, known, RankingProtocol("floor")).published
    for row, target in enumerate(targets.tolist()):
        others = [id for id in range(23) if id not in lists[row] and id != target]
        better = sum(scores[row, id] > scores[row, target] for id in others)
        equal = sum(scores[row, id] == scores[row, target] for id in others)
        assert found[row] == 1 + better + equal // 2


def test_infinite_scores_have_ranks_and_nan_has_none() -> None:
    scores = np.array([[1, math.inf, -math.inf], [-math.inf, 0, -math.inf]], np.float32)
    nothing = AnswerLists(np.zeros(3, np.int64), np.empty(0, np.int64))
    targets = np.array([1, 0])
    found = tensor_ranks(torch.from_numpy(scores), targets, nothing, PROTOCOLS[0])
    np.testing.assert_array_equal(found.published, filtered_ranks(scores, targets, nothing, PROTOCOLS[0]).published)
    scores[1, 2] = math.nan
    with pytest.raises(BackendError, match="a score is NaN"):
        tensor_ranks(torch.from_numpy(scores), targets, nothing, PROTOCOLS[0])


def test_no_queries_have_no_ranks() -> None:
    nothing = AnswerLists(np.zeros(1, np.int64), np.empty(0, np.int64))
    assert len(tensor_ranks(torch.empty(0, 5), np.empty(0, np.int64), nothing, PROTOCOLS[2]).published) == 0
