"""bench quality of a model that is shown images with each query: of whom they are is what changes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmkg_sdk import Model
from mmkg_sdk.bench.changes.picture_changes import CHANGES, blurred
from mmkg_sdk.bench.changes.pictured_links import EntityImages
from mmkg_sdk.bench.changes.shown_pictures import ShownPictures
from mmkg_sdk.bench.quality.run import run_quality
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.data.entity_images import find_entity_images
from mmkg_sdk.data.open import open_dataset
from mmkg_sdk.errors import DataError, QueryError
from mmkg_sdk.evaluation.subjects import evaluate_path
from mmkg_sdk.export import export_bundle
from mmkg_sdk.families import contract
from mmkg_sdk.families.mkgformer.links import inputs as link_inputs
from mmkg_sdk.families.mkgformer.model import build
from mmkg_sdk.run import Run
from tests.families.mkgformer.cases import FOLDER
from tests.once import once
from tests.places import ROOT

images = pytest.importorskip("PIL.Image", reason="pictures need Pillow")
pytest.importorskip("tokenizers", reason="texts need tokenizers")

TINY: dict[str, Any] = {
    "hidden_dim": 16,
    "num_layers": 2,
    "num_heads": 2,
    "text_feedforward_dim": 24,
    "vision_feedforward_dim": 24,
    "num_positions": 32,
    "patch_size": 8,
    "image_size": 16,
    "aux_image_size": 8,
    "rcnn_image_size": 8,
    "fusion_start_layer": 1,
    "max_length": 24,
    "tokenizer": str(FOLDER / "text_prep" / "vocab.txt"),
}
QUICK: dict[str, Any] = {"seeds": 2, "seconds": 0.001, "threads": 1, "plot": False}
PICTURED = ("m.a0", "m.c2", "m.f5", "m.g6")


def write_data(folder: Path, pictured: tuple[str, ...]) -> None:
    """The toy data of the authors' layout, with pictures of some of the nine entities."""
    folder.mkdir()
    for name in ("train.tsv", "dev.tsv", "test.tsv", "entity2text.txt", "relation2text.txt", "relations.txt"):
        shutil.copy(FOLDER / "text_prep" / name, folder)
    noise = np.random.default_rng(0)
    for entity in pictured:
        (folder / "images" / entity).mkdir(parents=True)
        for number in range(2):
            pixels = noise.integers(0, 256, (20, 20, 3), dtype=np.uint8)
            images.fromarray(pixels).save(folder / "images" / entity / f"{number}.png")


def random_run(data: Path, out: Path) -> Run:
    """A tiny model with the same fresh weights whatever the pictures."""
    dataset = open_dataset(data)
    config = link_inputs.config_for(dataset, TINY)
    run = Run.create(out, family="mkgformer", config=config.to_json(), data=link_inputs.run_data(dataset, config))
    torch.manual_seed(2)
    model = build(run.config, run.inputs)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    run.save_weights(model.state_dict())
    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of the same weights, with pictures and "without" any, and the "bundle" of the first."""

    def make(out: Path) -> None:
        write_data(out / "data", PICTURED)
        write_data(out / "bare", ())
        random_run(out / "bare", out / "without")
        export_bundle(random_run(out / "data", out / "run"), out / "bundle")

    return once(tmp_path_factory, "mkgformer-pictured-quality", make)


def test_figures_are_those_of_the_evaluation_with_and_without_images(folder: Path, tmp_path: Path) -> None:
    report = run_quality(folder / "bundle", tmp_path, split="train", **QUICK)
    expected, without = (
        evaluate_path(folder / "bundle", "train").metrics(),
        evaluate_path(folder / "without", "train").metrics(),
    )
    assert report.baseline["metrics"] == expected
    assert expected["mrr"] != without["mrr"]
    dropped = [row for row in report.rows if row.change == "image dropped"]
    assert [row.settings["share"] for row in dropped] == [0.25, 0.5, 0.75, 1.0]
    assert dropped[-1].metrics == pytest.approx(without, rel=1e-6)
    as_is, text_alone = report.of_part("frontier")
    assert as_is.metrics == expected
    assert text_alone.metrics == dropped[-1].metrics
    assert as_is.per_second == text_alone.per_second
    assert len([row for row in report.rows if row.change == "image of another entity"]) == 4
    assert len(report.left_out) == 2


def test_whose_images_are_shown(folder: Path) -> None:
    with Model.load(folder / "bundle", device="cpu", threads=1) as model:
        found = EntityImages.of(model)
        labels = {f"/{name.replace('.', '/')}" for name in PICTURED}
        assert {model.bundle.entities[row] for row in found.pictured.tolist()} == labels
        assert found.nobody is not None
        assert found.nobody not in found.pictured
        dropped = found.dropped(found.pictured[:2])
        assert dropped[found.pictured[:2]].tolist() == [found.nobody] * 2
        exchanged = found.exchanged(found.pictured)
        assert sorted(exchanged.tolist()) == found.everyone.tolist()
        assert (exchanged != found.everyone).sum() == len(PICTURED)


def test_pictures_are_what_the_model_sees_of_them(folder: Path, tmp_path: Path) -> None:
    """Three of the entities with pictures are in these triples."""
    pictures = folder / "data" / "images"
    write_data(tmp_path / "blurry", PICTURED)
    for path in (tmp_path / "blurry" / "images").rglob("*.png"):
        blurred(images.open(path), 0.08).save(path)
    others = tmp_path / "blurry" / "images"
    report = run_quality(
        folder / "bundle", tmp_path / "out", images=pictures, other_images=others, split="train", **QUICK
    )
    random_run(tmp_path / "blurry", tmp_path / "run")
    expected = evaluate_path(tmp_path / "run", "train").metrics()
    rows = {(row.change, row.level): row for row in report.rows}
    assert expected["mrr"] != report.baseline["value"]
    assert rows["blur", "8 % of the shorter side"].metrics == pytest.approx(expected, rel=1e-6)
    assert rows["pictures by somebody else", "of 3 of 3 entities"].metrics == pytest.approx(expected, rel=1e-6)
    assert rows["pictures of an entity", "2 of 2"].metrics == report.baseline["metrics"]
    assert len(rows["pictures of an entity", "1 of 2"].by_seed) == 2
    assert {change for change, _ in rows} >= {"image dropped", "image of another entity", *CHANGES}
    assert len(report.left_out) == 1


def test_entities_without_a_file_keep_their_images(folder: Path) -> None:
    with Model.load(folder / "bundle", device="cpu", threads=1) as model:
        own, rows = model.bundle.tensors["images"]["states"], model.bundle.inputs["image_rows"]
        found = find_entity_images(folder / "data" / "images", open_dataset(folder / "data"))
        one = dict([min(found.items())])
        pictures = ShownPictures.of(model, one, np.arange(len(rows)))
        (entity,) = pictures.files
        seen = pictures.given(lambda image, random: blurred(image, 0.2))
        same = [bool((seen.states[seen.rows[row]] == own[rows[row]]).all()) for row in range(len(rows))]
        assert [row for row, is_same in enumerate(same) if not is_same] == [entity]
        assert len(seen.states) == len(np.unique(np.delete(rows, entity))) + 1


def test_a_family_that_shows_no_images_says_so() -> None:
    bundle = Bundle.open(ROOT / "tests" / "released" / "0.2.0" / "mygo")
    with pytest.raises(QueryError, match="shows none with a query"):
        contract.link_runtime("mygo").image_inputs(bundle, [])


def test_what_such_a_bundle_does_not_take_is_refused(folder: Path, tmp_path: Path) -> None:
    def refused(said: str, error: type[Exception] = DataError, **given: Any) -> None:
        with pytest.raises(error, match=said):
            run_quality(folder / "bundle", tmp_path / "out", split="train", **QUICK, **given)
        assert not (tmp_path / "out").exists()

    refused("--tokens", QueryError, tokens={"text": [1]})
    refused("--images", other_images=folder / "data" / "images")
    write_data(tmp_path / "data", PICTURED[:2])
    pictures = tmp_path / "data" / "images"
    for path in pictures.rglob("*.png"):
        images.new("RGB", (20, 20), (200, 30, 30)).save(path)
    refused("2 of 2 entities have other images than these", images=pictures)
    (tmp_path / "nobody").mkdir()
    images.new("RGB", (20, 20)).save(tmp_path / "nobody" / "somebody.png")
    refused("no picture", images=tmp_path / "nobody")
