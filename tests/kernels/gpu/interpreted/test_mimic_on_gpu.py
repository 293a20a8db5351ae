"""A bundle of MIMIC is scored on a GPU that is none: what families/mimic/compiled.py makes of device "cuda"."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmkg_sdk import BackendError
from mmkg_sdk.answering.entity_linking import Linker, Mention
from mmkg_sdk.backends import open_backend
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.families.mimic import compiled
from mmkg_sdk.families.mimic.compiled import CompiledInteraction, InteractionOnGpu, absence, compiled_interaction
from mmkg_sdk.families.mimic.config import MimicConfig
from mmkg_sdk.families.mimic.pieces import mention_pieces
from mmkg_sdk.kernels.gpu.interaction import GpuInteraction

from ...references.interaction import Arrays, random_pieces
from ..fake_driver.driver import OUT_OF_MEMORY
from .conftest import FakeGpu

BUNDLE = Path(__file__).parents[3] / "released" / "0.2.0" / "mimic"


@pytest.fixture
def bundle() -> Bundle:
    return Bundle.open(BUNDLE)


def mentions(bundle: Bundle, count: int) -> Arrays:
    return random_pieces(np.random.default_rng(0), mention_pieces(MimicConfig.of(bundle.config)), count)


def test_scores_are_those_of_the_cpu_and_entities_travel_once(fake: FakeGpu, bundle: Bundle) -> None:
    assert absence(bundle, "cuda") is None
    interaction = compiled_interaction(bundle, "cuda", None)
    assert isinstance(interaction, InteractionOnGpu)
    asked = mentions(bundle, 3)
    expected = CompiledInteraction(bundle, 1).scores(asked, None)
    before = fake.driver.memory_used
    found = interaction.scores(asked, None)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    assert np.abs(found).max() > 0.1
    held = fake.driver.memory_used - before
    assert held >= sum(piece.nbytes for piece in bundle.encoded.values())
    ids = np.array([2, 0])
    np.testing.assert_allclose(interaction.scores(asked, ids), expected[:, :, ids], rtol=0, atol=1e-4)
    assert fake.driver.memory_used - before == held


def test_the_first_mentions_of_many_threads_place_the_entities_once(
    fake: FakeGpu, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    placed = []
    place = compiled.GpuInteraction.place
    monkeypatch.setattr(compiled.GpuInteraction, "place", lambda *a: placed.append(1) or place(*a))
    interaction, asked = InteractionOnGpu(bundle, "cuda"), mentions(bundle, 1)
    with ThreadPoolExecutor(4) as callers:
        answers = list(callers.map(lambda _: interaction.scores(asked, None), range(4)))
    for found in answers:
        np.testing.assert_array_equal(found, answers[0])
    assert len(placed) == 1


def test_what_cannot_be_there_is_said_and_the_graph_runs(fake: FakeGpu, bundle: Bundle) -> None:
    assert "there is no GPU 1" in (absence(bundle, "cuda:1") or "")
    assert compiled_interaction(bundle, "cuda:1", None) is None
    longer = np.zeros((1, 129, 2), np.float16)
    bundle.encoded["entity_queries"] = longer  # type: ignore[index]
    assert absence(bundle, "cuda") == "its texts have 129 tokens, and the CUDA kernels go to 128"


def test_too_little_memory_for_the_entities_is_an_error_that_may_pass(fake: FakeGpu, bundle: Bundle) -> None:
    interaction, asked = InteractionOnGpu(bundle, "cuda"), mentions(bundle, 1)
    interaction._graph.kernel()
    fake.driver.fail("cuMemAlloc", OUT_OF_MEMORY)
    with pytest.raises(BackendError, match=r"get on the GPU \d+ bytes of memory.*OUT_OF_MEMORY"):
        interaction.scores(asked, None)
    fake.driver.recover()
    assert np.isfinite(interaction.scores(asked, None)).all()


def linkers(bundle: Bundle) -> tuple[Linker, Linker]:
    """Graphs of both on the CPU; of the first, pairs are scored on the GPU that is none."""
    made = [Linker(bundle, open_backend(bundle, "onnxruntime", "cpu", 1), compiled=True) for _ in range(2)]
    own = replace(made[0]._entities.segments[0], stand_in=InteractionOnGpu(bundle, "cuda"))
    made[0]._entities, made[0]._kind = replace(made[0]._entities, segments=(own,)), "cuda"
    return made[0], made[1]


def test_what_is_ranked_on_the_gpu_is_what_is_ranked_on_the_host(
    fake: FakeGpu, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    placed, host = linkers(bundle)
    asked = [Mention("Georgia", "Old wine."), Mention("Jordan", "A river.")]
    scored, original, best = [], compiled.GpuInteraction.scores, compiled.GpuInteraction.best

    def scores(self: GpuInteraction, *arguments: Any) -> Any:
        scored.append(arguments[2])
        return original(self, *arguments)

    def best_of(self: GpuInteraction, *arguments: Any) -> Any:
        found = best(self, *arguments)
        scored.append(found[0])
        return found

    monkeypatch.setattr(compiled.GpuInteraction, "best", best_of)
    monkeypatch.setattr(compiled.GpuInteraction, "scores", scores)
    for mentions, k, candidates in ((asked, 2, None), (asked[0], 3, [6, 0, 2, 5]), (asked[1], 7, None)):
        found = placed.link_mentions(mentions, k, candidates=candidates, explain=True)
        expected = host.link_mentions(mentions, k, candidates=candidates, explain=True)
        assert [one.ids.tolist() for one in found] == [one.ids.tolist() for one in expected]
        for one, other in zip(found, expected, strict=True):
            assert one.units is not None
            assert other.units is not None
            np.testing.assert_allclose(one.scores, other.scores, rtol=0, atol=1e-4)
            for unit, score in one.units.items():
                np.testing.assert_allclose(score, other.units[unit], rtol=0, atol=1e-4)
    # Scores of those alone that somebody's answer may be; of all where all are answers.
    assert [None if ids is None else len(ids) for ids in scored] == [len({*scored[0]}), 3, None]
    assert len(scored[0]) <= 4
    scored.clear()
    for targets in ([0, 0], [6, 3]):
        ranks = placed.rank_mentions(asked, np.array(targets))
        assert ranks.tolist() == host.rank_mentions(asked, np.array(targets)).tolist()
    assert not scored


def test_entities_that_came_and_went_are_ranked_there_too(
    fake: FakeGpu, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of the bundle again as those added: each ties with itself, and the bundle's own are not copied again."""
    placed, host = linkers(bundle)
    asked = [Mention("Georgia", "Old wine."), Mention("Jordan", "A river.")]
    copies, place = [], compiled.GpuInteraction.place
    monkeypatch.setattr(
        compiled.GpuInteraction,
        "place",
        lambda self, rows: copies.append(len(rows["entity_text"])) or place(self, rows),
    )
    placed.link_mentions(asked, k=1)
    added = {name: piece[:4] for name, piece in bundle.encoded.items()}
    for one in (placed, host):
        one._entities = one._entities.grown(["a", "b", "c", "d"], [added]).without(np.array([1, 3, 8]))
    for k, candidates in ((2, None), (3, [7, 0, 2, 5]), (8, None)):
        found, expected = (one.link_mentions(asked, k, candidates=candidates) for one in (placed, host))
        assert [one.ids.tolist() for one in found] == [one.ids.tolist() for one in expected]
        assert [one.labels for one in found] == [one.labels for one in expected]
    assert copies == [7, 4]
    ranks = placed.rank_mentions(asked, np.array([5, 2]))
    assert ranks.tolist() == host.rank_mentions(asked, np.array([5, 2])).tolist()
