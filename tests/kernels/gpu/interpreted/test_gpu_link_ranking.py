"""The best candidates and ranks of mentions on a GPU, against a sort of the scores that it gives.

With no GPU behind it: the launcher in C and the kernels' sources.
"""

from __future__ import annotations

import numpy as np
import pytest

from mmkg_sdk.errors import BackendError
from mmkg_sdk.kernels.gpu.interaction import GpuInteraction

from .conftest import FakeGpu
from .test_gpu_interaction import SMALL, made


@pytest.mark.parametrize(
    ("k", "chosen"), [(1, None), (5, None), (5, [1, 2, 3, 5, 8, 13, 19]), (7, [1, 2, 3, 5, 8, 13, 19])]
)
def test_the_best_are_those_of_the_scores_of_the_gpu_ties_by_place(
    fake: FakeGpu, k: int, chosen: list[int] | None
) -> None:
    weights, mentions, entities = made(21, 3, 20, SMALL)
    for piece in entities.values():
        piece[[2, 8, 19]] = piece[5]  # equal candidates, whose scores are the same bits
    interaction = GpuInteraction(weights, SMALL.entity, "float16")
    placed = interaction.place(entities)
    candidates = None if chosen is None else np.array(chosen)
    units = interaction.scores(mentions, placed, candidates)
    scores = units.mean(axis=0, dtype=np.float32)
    fake.launches.launched.clear()
    found, of_found = interaction.best(mentions, placed, min(k, scores.shape[1]), candidates)
    expected = {place for row in scores for place in np.argsort(-row, kind="stable")[:k].tolist()}
    assert found.tolist() == sorted(expected)
    # numpy multiplies otherwise at other places of a tile, which a GPU does not.
    np.testing.assert_allclose(of_found, units[:, :, found], rtol=0, atol=1e-6)
    assert {"unit_means", "select_best"} <= set(fake.launches.launched)


def test_ranks_are_those_of_a_stable_sort_of_the_scores(fake: FakeGpu) -> None:
    weights, mentions, entities = made(22, 3, 20, SMALL)
    for piece in entities.values():
        piece[[2, 8, 19]] = piece[5]
    interaction = GpuInteraction(weights, SMALL.entity, "float16")
    placed = interaction.place(entities)
    scores = interaction.scores(mentions, placed).mean(axis=0, dtype=np.float32)
    order = np.argsort(-scores, axis=1, kind="stable")
    for targets in ([0, 5, 19], [8, 17, 2]):
        ranks = interaction.ranks(mentions, placed, np.array(targets))
        assert ranks.tolist() == [1 + row.tolist().index(target) for row, target in zip(order, targets, strict=True)]
    nobody = {name: piece[:0] for name, piece in mentions.items()}
    assert interaction.ranks(nobody, placed, np.zeros(0, np.int64)).shape == (0,)
    assert [found.shape for found in interaction.best(nobody, placed, 3)] == [(0,), (3, 0, 0)]


def test_what_cannot_be_ranked_is_refused(fake: FakeGpu) -> None:
    weights, mentions, entities = made(23, 2, 3, SMALL)
    interaction = GpuInteraction(weights, SMALL.entity, "float16")
    placed = interaction.place(entities)
    for k in (0, 4, -1):
        with pytest.raises(BackendError, match=f"k is {k}; expected 1 to 3, the number of candidates"):
            interaction.best(mentions, placed, k)
    for wrong in ([0, 3], [-1, 0]):
        with pytest.raises(BackendError, match="targets: one is no row of the entities"):
            interaction.ranks(mentions, placed, np.array(wrong))
    with pytest.raises(BackendError, match=r"targets: int64 \[1\]; expected int64 \[2\]"):
        interaction.ranks(mentions, placed, np.array([0]))
    nothing = interaction.place({name: piece[:0] for name, piece in entities.items()})
    with pytest.raises(BackendError, match="there are no entities to rank"):
        interaction.ranks(mentions, nothing, np.array([0, 0]))
    mentions["mention_text"][0, 0] = np.nan
    with pytest.raises(BackendError, match="gave NaN or infinity"):
        interaction.best(mentions, placed, 1)
    with pytest.raises(BackendError, match="gave NaN or infinity"):
        interaction.ranks(mentions, placed, np.array([0, 0]))
