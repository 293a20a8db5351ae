"""explain_link: the parts of a score and the places of an image are those of the torch modules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import mmkg_sdk
from mmkg_sdk import LinkExplanation, Mention, QueryError
from mmkg_sdk.answering.entity_linking import Linker
from mmkg_sdk.data.mentions import LinkingData
from mmkg_sdk.families.mimic.explained import explained_pair
from mmkg_sdk.families.mimic.model import DualUnit, Mimic
from tests.families.mimic.cases import CASES, golden


def frozen(x: Tensor, norm: nn.Module) -> Tensor:
    """A layer norm whose scale is taken as it is."""
    assert isinstance(norm, nn.LayerNorm)
    scale = (x.var(dim=-1, keepdim=True, unbiased=False) + norm.eps).sqrt().detach()
    return (x - x.mean(dim=-1, keepdim=True)) / scale * norm.weight + norm.bias


def contributions(dual: DualUnit, query: Tensor, key: Tensor, key_tokens: Tensor) -> tuple[float, np.ndarray]:
    """The score of one pair, and what each token adds to it, by torch's derivatives."""
    query, key = dual.cls_fc(query), dual.cls_fc(key)
    patches = dual.tokens_fc(key_tokens).detach().requires_grad_()
    context = dual.fc(frozen(patches.mean(dim=0) + query, dual.add_layer_norm))
    value = frozen(torch.tanh(dual.gate_fc(context)).detach() * context + key, dual.layer_norm)
    score = value @ dual.layer_norm(query)
    (slope,) = torch.autograd.grad(score, patches)
    return score.item(), (slope * patches).sum(dim=1).detach().numpy()


@pytest.fixture(scope="module", params=CASES)
def name(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture(scope="module", params=["onnxruntime", "torch"])
def linker(name: str, request: pytest.FixtureRequest, golden_bundles: Callable[..., Path]) -> Iterator[Linker]:
    with Linker.load(golden_bundles(name, "fp32", "mimic"), request.param, "cpu") as opened:
        yield opened


def test_parts_and_places_are_those_of_the_torch_modules(linker: Linker, name: str) -> None:
    case = golden(name)
    model: Mimic = case.model().double()
    matcher = model.matcher
    mention, entity = (
        matcher.normed(type(side)(*(part.double() for part in side)))
        for side in map(case.encoded, ("mention", "entity"))
    )
    tglu, vdlu, cmfu = matcher.tglu, matcher.vdlu, matcher.cmfu
    expected = {
        "text_global": mention.text @ entity.text.T,
        "text_local": tglu.local_scores(mention, entity),
        "image_by_entity": vdlu.dual_ent2men(entity.image, mention.image, mention.image_tokens).T,
        "image_by_mention": vdlu.dual_men2ent(mention.image, entity.image, entity.image_tokens),
        "image_text": cmfu(mention, entity),
    }
    pieces = linker.encode_tokens(
        *(case.inputs[f"mention_{part}"] for part in ("input_ids", "attention_mask", "pixel_values"))
    )
    pixels = case.inputs["mention_pixel_values"]
    tokens = linker.run_graph("image_encoder", {"pixel_values": pixels}, ["image_tokens"])["image_tokens"]
    differing = []
    for row in range(len(pixels)):
        attention = torch.softmax(cmfu.image_fc(mention.image_tokens[row]) @ cmfu.text_fc(mention.text[row]), dim=0)
        for column in range(min(4, len(linker.entities))):
            found = explained_pair(
                linker.bundle,
                {part: piece[row] for part, piece in pieces.items()},
                {part: piece[column] for part, piece in linker.bundle.encoded.items()},
                tokens[row],
            )
            for part, scores in expected.items():
                assert found.parts[part] == pytest.approx(scores[row, column].item(), rel=1e-4, abs=1e-4), part
            score, added = contributions(
                vdlu.dual_ent2men, entity.image[column], mention.image[row], mention.image_tokens[row]
            )
            assert score == pytest.approx(found.parts["image_by_entity"], rel=1e-4, abs=1e-4)
            np.testing.assert_allclose(found.places["matched"].ravel(), added[1:], atol=1e-4)
            np.testing.assert_allclose(found.places["attended"].ravel(), attention.detach()[1:], atol=1e-5)
            differing.append(np.ptp(found.places["matched"]))
    assert max(differing) > 1e-3, "places differ"


def test_units_and_score_are_those_of_an_answer(small_bundle: Path, small_world: LinkingData) -> None:
    """A bundle in fp16, by the kernels, with an image and without."""
    with mmkg_sdk.Linker.load(small_bundle, device="cpu") as linker:
        for mention in (Mention("Georgia", "Old wine."), Mention("Georgia", "Old wine.", small_world.images[1])):
            (link,) = linker.link_mentions(mention, 7, explain=True)
            assert link.units is not None
            for place, label in enumerate(link.labels):
                found = linker.explain_link(mention, label)
                assert found.score == pytest.approx(float(link.scores[place]), abs=1e-6)
                assert found.units == pytest.approx(
                    {unit: float(says[place]) for unit, says in link.units.items()}, abs=1e-6
                )
                parts = found.parts
                for unit, own in {
                    "text": ("text_global", "text_local"),
                    "image": ("image_by_entity", "image_by_mention"),
                    "image_text": ("image_text",),
                }.items():
                    assert np.mean([parts[part] for part in own]) == pytest.approx(found.units[unit], abs=1e-4)
                assert set(found.places) == ({"matched", "attended"} if mention.image else set())
                check_shown(found)
        with pytest.raises(QueryError, match="unknown entity 'Jorden'"):
            linker.explain_link(Mention("Georgia", ""), "Jorden")


def check_shown(found: LinkExplanation) -> None:
    first, *lines = repr(found).splitlines()
    assert first == f"'Georgia' and {found.entity!r}: {found.score:.4f}"
    numbers = {line.split()[0]: float(line.split()[1]) for line in lines if not line.startswith("  most")}
    assert numbers == pytest.approx({**found.units, **found.parts}, abs=1e-4)
    assert found.to_json()["places"] == {name: grid.tolist() for name, grid in found.places.items()}
