"""MIMIC without one of its units: it says 0 of every pair, and the others what they said before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mmkg_sdk import Linker, Mention
from mmkg_sdk.data.mentions import LinkingData
from mmkg_sdk.export import export_bundle
from mmkg_sdk.families.mimic.config import UNITS
from mmkg_sdk.families.mimic.graphs import graph_modules
from mmkg_sdk.families.mimic.model import Mimic
from mmkg_sdk.families.mimic.objective import unit_losses
from tests.families.mimic.cases import SIDES, Case, close, golden
from tests.families.mimic.small import random_run

OFFICIAL = {"text": "tglu_score", "image": "vdlu_score", "image_text": "cmfu_score"}


def without(case: Case, unit: str) -> Mimic:
    official = case.model()
    model = Mimic(replace(official.config, without_unit=unit))
    model.load_state_dict(official.state_dict())
    return model.eval()


@pytest.mark.parametrize("unit", UNITS)
def test_the_others_score_as_the_official_ones(unit: str) -> None:
    case = golden("base")
    model = without(case, unit)
    scores = model.matcher(*map(case.encoded, SIDES))
    expected = {name: case.outputs[own] * (name != unit) for name, own in OFFICIAL.items()}
    for name, score in expected.items():
        close(getattr(scores, name), score)
    close(scores.overall, sum(expected.values()) / 3)


@pytest.mark.parametrize("unit", UNITS)
def test_pieces_of_both_sides_score_as_the_model(unit: str) -> None:
    case = golden("base")
    modules = graph_modules(without(case, unit).double(), torch.float32)
    mention, entity = (
        modules[f"{name}_side"](side.text, side.text_tokens, side.image, side.image_tokens)
        for name, side in zip(SIDES, map(case.encoded, SIDES), strict=True)
    )
    for name, found in zip(UNITS, modules["interaction"](*mention, *entity), strict=True):
        close(found, case.outputs[OFFICIAL[name]] * (name != unit))
        assert (name == unit) == (not found.any())


@pytest.mark.parametrize("unit", UNITS)
def test_a_step_of_training_leaves_the_unit_as_it_is(unit: str) -> None:
    case = golden("base")
    model = without(case, unit)
    mention, entity = (model.encoder(*case.encoder_inputs(side)) for side in SIDES)
    count = min(len(mention.text), len(entity.text))
    pairs = (type(side)(*(part[:count] for part in side)) for side in (mention, entity))
    torch.stack(list(unit_losses(model.matcher(*pairs)).values())).sum().backward()
    modules = dict(zip(UNITS, (model.matcher.tglu, model.matcher.vdlu, model.matcher.cmfu), strict=True))
    for name, module in modules.items():
        # None would end a training on several devices.
        moved = [weight.grad.any().item() for weight in module.parameters() if weight.requires_grad]  # type: ignore[union-attr]
        assert any(moved) == (name != unit), name


@pytest.mark.parametrize("backend", ["onnxruntime", "auto"])
def test_a_bundle_answers_by_the_others(backend: str, small_world: LinkingData, tmp_path: Path) -> None:
    """The image unit, of which both sides are muted; scored by the graph, and by the compiled kernels (auto)."""
    run = random_run(tmp_path / "run", small_world, without_unit="image")
    export_bundle(run, tmp_path / "bundle", precision="fp16")
    mention = Mention("Georgia", "Old wine.", small_world.images[1])
    with Linker.load(tmp_path / "bundle", backend, "cpu") as linker:
        (link,) = linker.link_mentions(mention, 7, explain=True)
        assert linker.has_stand_ins == (backend == "auto")
        assert link.units is not None
        assert not link.units["image"].any()
        assert link.units["text"].all()
        np.testing.assert_allclose(link.scores, (link.units["text"] + link.units["image_text"]) / 3, rtol=1e-6)
        found = linker.explain_link(mention, link.labels[0])
        assert [found.parts[name] for name in ("image_by_entity", "image_by_mention")] == [0, 0]
        assert found.score == pytest.approx(float(link.scores[0]), abs=1e-6)
        assert not found.places["matched"].any()
