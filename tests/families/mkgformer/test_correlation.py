"""The text-image weights of the fusion are those of the torch module."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import mmkg_sdk
from mmkg_sdk import Extractor, Model, QueryError, RelationMention, Tagger
from mmkg_sdk.cli.group import cli
from mmkg_sdk.families.mkgformer.correlation import _gelu, text_image_weights
from mmkg_sdk.families.mkgformer.encoder import Images, padding_bias
from mmkg_sdk.families.mkgformer.links.runtime import query_batches
from mmkg_sdk.ranking.known_triples import HEAD, TAIL, Queries
from tests.browser import pictured
from tests.families.mkgformer.cases import LP_CASES, MNER_CASES, MRE_CASES, golden

TEXT = ("input_ids", "attention_mask", "token_type_ids")


@pytest.mark.parametrize("name", MRE_CASES + MNER_CASES)
def test_the_weights_are_those_of_the_torch_module(name: str, golden_bundles: Callable[..., Path]) -> None:
    case = golden(name)
    model = case.model().double()
    aux, rcnn = (torch.as_tensor(case.inputs[f"{group}_values"]).double() for group in ("aux", "rcnn"))
    with torch.no_grad():
        text, vision = model.encoder.embed(case.texts, Images(None, aux, rcnn))
        layers = model.encoder.encoder(text, vision, case.texts.attention_mask)
        expected = [
            torch.softmax(outputs.context @ outputs.vision.transpose(1, 2), dim=-1).numpy()
            for outputs in layers
            if outputs.fusion is not None
        ]
    assert expected, "some layers are fused"
    opened: Extractor | Tagger
    with mmkg_sdk.load(golden_bundles(name, "fp32", "mkgformer"), "onnxruntime", "cpu") as opened:  # type: ignore[assignment]
        states = opened.encode_images(case.inputs["aux_values"], case.inputs["rcnn_values"])
        for row in range(len(states)):
            texts = {part: case.inputs[part][row] for part in TEXT}
            found = text_image_weights(opened.bundle, texts, states[row])
            np.testing.assert_allclose(found, [layer[row] for layer in expected], atol=1e-4)
            assert np.ptp(found) > 1e-3


def test_gelu_is_that_of_the_error_function() -> None:
    x = np.concatenate([np.linspace(-9, 9, 20_011), [-1e30, -0.0, 0.0, 1e-30, 1e30]]).astype(np.float32)
    expected = [value * (1 + math.erf(value / math.sqrt(2))) / 2 for value in x.tolist()]
    # erf is rounded to float32, 6e-8, after it was read to half of that; what it is multiplied with is below 6 there.
    np.testing.assert_allclose(_gelu(x), expected, rtol=1.2e-7, atol=2e-7)


@pytest.fixture
def green(tmp_path: Path) -> Path:
    Image.new("RGB", (90, 60), (10, 200, 30)).save(tmp_path / "green.png")
    return tmp_path / "green.png"


def test_an_explanation_accounts_for_all_weights(extractor: Extractor, tagger: Tagger, green: Path) -> None:
    sentence = "The actor wrote a song, the film from germany."
    of_relation = extractor.explain_relation(RelationMention(sentence, "actor", "germany", green))
    of_tags = tagger.explain_sentence(sentence, green)
    assert "<s>" in of_relation.pieces
    for found in (of_relation, of_tags):
        assert found.sentence == sentence
        assert (found.pieces[0], found.pieces[-1]) == ("[CLS]", "[SEP]")
        assert [(one.image, one.group) for one in found.images] == [(green, "aux"), (green, "rcnn")]
        assert [one.weights.shape for one in found.images] == [(1, len(found.pieces), side, side) for side in (4, 2)]
        together = found.elsewhere + sum(one.weights.sum(axis=(2, 3)) for one in found.images)
        np.testing.assert_allclose(together, 1, atol=1e-6)
        assert (found.elsewhere > 0).all()
        assert found.to_json()["images"][1]["weights"] == found.images[1].weights.tolist()
        assert f"aux green.png: {found.images[0].weights.sum(axis=(2, 3)).mean():.4f}" in repr(found)
    assert not extractor.explain_relation(RelationMention(sentence, "actor", "germany")).images
    with pytest.raises(QueryError, match=r"none\.png cannot be read"):
        tagger.explain_sentence(sentence, green.with_name("none.png"))


def test_the_commands_write_a_page(toys: Callable[[str], Path], green: Path, tmp_path: Path) -> None:
    words = ("--sentence", "The actor wrote a song, the film from germany.", "--image", str(green))
    for command, task, more in (("extract", "mre", ("--head", "actor", "--tail", "germany")), ("tag", "mner", ())):
        page = tmp_path / f"{command}.html"
        done = CliRunner().invoke(cli, [command, str(toys(task) / "bundle"), *words, *more, "--html", str(page)])
        assert done.exit_code == 0, done.output
        assert page.read_text(encoding="utf-8").count("<rect ") == 16 + 4
    with Image.open(pictured(page, tmp_path, 900, 1800)) as shown:
        colours = np.asarray(shown.convert("RGB")).reshape(-1, 3)
    # Green under blue of some opacity, of no place less than of the page's 0.8.
    assert (
        (colours[:, 0] <= 10) & (colours[:, 1] >= 114) & (colours[:, 2] >= 30) & (colours[:, 2] < 178)
    ).sum() > 100_000


@pytest.mark.parametrize("name", LP_CASES)
def test_the_weights_of_a_query_are_those_of_the_torch_module(name: str, golden_bundles: Callable[..., Path]) -> None:
    """Both directions of every entity, on the tokens that the model itself is asked with."""
    case = golden(name)
    model = case.model().double()
    with Model.load(golden_bundles(name, "fp32", "mkgformer"), "onnxruntime", "cpu") as opened:
        bundle, config = opened.bundle, model.config
        images = bundle.tensors["images"]  # the golden files name none of the entities', so they all are alike
        images["states"] = np.random.default_rng(0).standard_normal(images["states"].shape).astype(np.float32)
        for entity in range(0, len(opened.entities), 3):
            relation = entity % len(opened.relations)
            for direction, found in (
                (TAIL, opened.explain_tail(entity, relation)),
                (HEAD, opened.explain_head(relation, entity)),
            ):
                query = Queries(np.array([entity]), np.array([relation]), np.array([direction]))
                ((_, inputs),) = query_batches(bundle, bundle.table, query)
                ids, mask = (torch.as_tensor(inputs[part]) for part in ("input_ids", "attention_mask"))
                state = torch.as_tensor(inputs["image_state"]).double()
                expected = by_layers(model, ids, mask, state)
                weights = np.concatenate(
                    [group.reshape(*group.shape[:2], -1) for group in found.images.values()], axis=2
                )
                np.testing.assert_allclose(weights, expected, atol=1e-4)
                np.testing.assert_allclose(weights.sum(axis=2), 1, atol=1e-5)
                assert np.ptp(weights) > 1e-3
                side = config.image_size // config.patch_size
                assert found.images["main"].shape == (len(expected), ids.shape[1], 1, side, side)
                assert (found.pieces[0], found.pieces[found.mask], found.pieces[-1]) == ("[CLS]", "[MASK]", "[SEP]")
                label, related = opened.entities[entity], opened.relations[relation]
                assert {f"entity {label}", f"relation {related}"} <= {*found.pieces}
                known = (label, related, None) if direction == TAIL else (None, related, label)
                assert (found.head, found.relation, found.tail) == known


def by_layers(model: Any, ids: torch.Tensor, mask: torch.Tensor, vision: torch.Tensor) -> np.ndarray:
    """The weights of the fusion by the layers of the torch model, from an image state, [layers, pieces, tokens]."""
    layers, prefix, found = model.encoder.encoder, None, []
    text, bias = model.encoder.text_embeddings(ids, None), padding_bias(mask, torch.float64)
    with torch.no_grad():
        for number, (vision_layer, text_layer) in enumerate(zip(layers.vision_layers, layers.text_layer, strict=True)):
            fused = number >= layers.fusion_start_layer
            if fused:  # the layers below made the state
                vision = vision_layer(vision, prefix, bias if layers.mask_prefix else None)
            outputs = text_layer(text, bias, vision, fused=fused)
            text, prefix = outputs.text, outputs.prefix
            if fused:
                weights = torch.softmax(outputs.context @ outputs.vision.transpose(1, 2), dim=-1)
                found.append(weights[0].numpy())
    return np.stack(found)


@pytest.mark.parametrize("name", LP_CASES)
def test_the_weights_of_official_queries_are_those_of_the_torch_module(
    name: str, golden_bundles: Callable[..., Path]
) -> None:
    """From the pixels on, with the padding that the authors put behind the texts."""
    case = golden(name)
    model = case.model().double()
    images = Images(*(None if group is None else group.double() for group in case.images))
    with torch.no_grad():
        text, vision = model.encoder.embed(case.texts, images)
        layers = [
            one for one in model.encoder.encoder(text, vision, case.texts.attention_mask) if one.fusion is not None
        ]
        expected = [torch.softmax(one.context @ one.vision.transpose(1, 2), dim=-1).numpy() for one in layers]
    given = {part: case.inputs[part] for part in ("aux_values", "rcnn_values", "pixel_values")}
    with Model.load(golden_bundles(name, "fp32", "mkgformer"), "onnxruntime", "cpu") as opened:
        states, spread = opened.run_graph("image_encoder", given, ["image_state"])["image_state"], []
        for row in range(len(states)):
            texts = {part: case.inputs[part][row] for part in ("input_ids", "attention_mask")}
            found = text_image_weights(opened.bundle, texts, states[row])
            np.testing.assert_allclose(found, [layer[row] for layer in expected], atol=1e-4)
            spread.append(np.ptp(found))
    assert max(spread) > 1e-3, "where there are images, places weigh unequally"


def test_a_query_is_shown_as_text_json_and_page(
    golden_bundles: Callable[..., Path], green: Path, tmp_path: Path
) -> None:
    bundle, page = golden_bundles("lp_official12", "fp32", "mkgformer"), tmp_path / "query.html"
    with Model.load(bundle, device="cpu") as opened:
        entity, relation = opened.entities[2], opened.relations[1]
        tail, head = opened.explain_tail(entity, relation), opened.explain_head(relation, entity)
        with pytest.raises(QueryError, match="unknown relation 'nothing'"):
            opened.explain_tail(entity, "nothing")
        with pytest.raises(QueryError, match="Ask `explain_tail` or `explain_head` with a relation"):
            opened.explain_entity(entity)
    assert repr(tail).splitlines()[0] == f"({entity}, {relation}, ?)"
    assert repr(head).splitlines()[0] == f"(?, {relation}, {entity})"
    shares = tail.shares()
    assert next(iter(shares)) == "main"
    np.testing.assert_allclose(sum(shares.values()), 1, atol=1e-5)
    assert f"main: {shares['main'][tail.mask]:.4f} of what [MASK] takes" in repr(tail)
    words = ["explain", str(bundle), entity, "--relation", relation]
    done = CliRunner().invoke(cli, [*words, "--json", "--html", str(page), "--image", str(green)])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == tail.to_json()
    rows, columns = tail.images["main"].shape[3:]
    assert page.read_text(encoding="utf-8").count("<rect ") == 2 * rows * columns
    with Image.open(pictured(page, tmp_path, 900, 1800)) as shown:
        colours = np.asarray(shown.convert("RGB")).reshape(-1, 3)
    # Two squares of 360 pixels: green under blue of some opacity, of no place less than of the page's 0.8.
    drawn = (colours[:, 0] <= 10) & (colours[:, 1] >= 114) & (colours[:, 2] >= 30) & (colours[:, 2] < 178)
    assert drawn.sum() > 200_000
    done = CliRunner().invoke(cli, [*words, "--direction", "head"])
    assert done.stdout == f"{head!r}\n"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--direction", "head"], "--direction goes with --relation"),
        (["--relation", "r", "--mention", "m"], "--mention is of entity linking, and --relation of link prediction"),
        (["--relation", "r", "--image", "x.png"], "--image with --mention or --html"),
    ],
)
def test_options_that_do_not_go_together_are_wrong_usage(more: list[str], message: str, golden_bundle: Path) -> None:
    done = CliRunner().invoke(cli, ["explain", str(golden_bundle), "0", *more])
    assert done.exit_code == 2
    assert message in done.output


def test_a_query_of_other_families_has_no_images(golden_bundles: Callable[..., Path]) -> None:
    for family in ("mygo", "adamf_mat"):
        with (
            Model.load(golden_bundles("db15k_like", "fp32", family), device="cpu") as opened,
            pytest.raises(QueryError, match=f"a query of {family} looks at no image; its entities do"),
        ):
            opened.explain_tail(0, 0)
