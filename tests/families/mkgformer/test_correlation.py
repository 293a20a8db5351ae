"""The text-image weights of the fusion are those of the torch module."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import mmkg_sdk
from mmkg_sdk import Extractor, QueryError, RelationMention, Tagger
from mmkg_sdk.cli.group import cli
from mmkg_sdk.families.mkgformer.encoder import Images
from mmkg_sdk.families.mkgformer.sentences.correlation import _gelu, text_image_weights
from tests.browser import pictured
from tests.families.mkgformer.cases import MNER_CASES, MRE_CASES, golden

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
