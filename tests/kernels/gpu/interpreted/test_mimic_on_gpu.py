"""A bundle of MIMIC is scored on a GPU that is none: what families/mimic/compiled.py makes of device "cuda"."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from mmkg_sdk import BackendError
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.families.mimic import compiled
from mmkg_sdk.families.mimic.compiled import CompiledInteraction, InteractionOnGpu, absence, compiled_interaction
from mmkg_sdk.families.mimic.config import MimicConfig
from mmkg_sdk.families.mimic.pieces import mention_pieces

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
