"""bench quality of link prediction: its figures are the evaluation's, and what is changed is what it says."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmkg_sdk import Model
from mmkg_sdk.bench.changes.entity_inputs import EntityInputs, some_rows, token_orders
from mmkg_sdk.bench.changes.entity_pictures import EntityPictures
from mmkg_sdk.bench.changes.link_plan import ANEW
from mmkg_sdk.bench.quality.run import run_quality
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.data import read_dataset
from mmkg_sdk.data.entity_images import find_entity_images
from mmkg_sdk.errors import DataError, QueryError
from mmkg_sdk.evaluation.subjects import evaluate_path
from mmkg_sdk.families.mygo.config import MyGOConfig
from mmkg_sdk.families.mygo.inputs import encoder_inputs
from tests.families import raw_bundles

images = pytest.importorskip("PIL.Image", reason="images need pillow")
pytest.importorskip("sklearn", reason="learned image tokens need scikit-learn")
pytest.importorskip("tokenizers", reason="texts need tokenizers")

QUICK: dict[str, Any] = {"seeds": 2, "seconds": 0.001, "threads": 1, "plot": False}


@pytest.fixture(scope="module")
def mygo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return raw_bundles.raw_mygo(tmp_path_factory)


@pytest.fixture(scope="module")
def adamf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return raw_bundles.raw_adamf(tmp_path_factory)


@pytest.fixture(scope="module")
def measured(mygo: Path, adamf: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, Any]]:
    """Everything of a bundle, by its family, as JSON. The other pictures are those of the next country."""

    @cache
    def measure(family: str) -> dict[str, Any]:
        folder, out = {"mygo": mygo, "adamf_mat": adamf}[family], tmp_path_factory.mktemp(family)
        files = sorted((folder / "raw" / "images").iterdir())
        (out / "other").mkdir()
        for one, other in pairwise(files):
            (out / "other" / one.name).symlink_to(other)
        run_quality(
            folder / "bundle",
            out / "results",
            data=str(folder / "data"),
            images=folder / "raw" / "images",
            other_images=out / "other",
            tokens={"visual": [0, 3, 6], "half": [0, 8]} if family == "mygo" else None,
            **QUICK,
        )
        found: dict[str, Any] = json.loads((out / "results" / "results.json").read_text())
        return found

    return measure


def row(result: dict[str, Any], change: str, **settings: Any) -> dict[str, Any]:
    (found,) = [
        one
        for one in result["rows"]
        if one["change"] == change and all(one["settings"].get(name) == value for name, value in settings.items())
    ]
    return found


@pytest.mark.parametrize("family", ["mygo", "adamf_mat"])
def test_the_bundle_as_it_is_has_the_figures_of_the_evaluation(
    family: str, mygo: Path, adamf: Path, measured: Callable[[str], dict[str, Any]]
) -> None:
    folder, result = {"mygo": mygo, "adamf_mat": adamf}[family], measured(family)
    expected = evaluate_path(folder / "bundle", "test").metrics()
    assert result["baseline"]["metrics"] == expected
    assert result["baseline"]["value"] == pytest.approx(expected["mrr"], abs=1e-12)
    assert result["baseline"]["low"] < expected["mrr"] < result["baseline"]["high"]
    assert result["complete"]
    assert result["count"] == len(Bundle.open(folder / "bundle").triples["test"])
    for one in result["rows"]:
        assert one["value"] == pytest.approx(one["metrics"]["mrr"], abs=1e-12)
        before = row(result, ANEW)["value"] if one["beside_anew"] else expected["mrr"]
        assert one["difference"] == pytest.approx(one["value"] - before, abs=1e-12)
        assert one["low"] <= one["difference"] <= one["high"]


@pytest.mark.parametrize("family", ["mygo", "adamf_mat"])
@pytest.mark.parametrize("modality", ["image", "text"])
def test_all_of_a_modality_dropped_is_the_run_without_it(
    family: str, modality: str, mygo: Path, adamf: Path, measured: Callable[[str], dict[str, Any]]
) -> None:
    folder = {"mygo": mygo, "adamf_mat": adamf}[family]
    expected = evaluate_path(folder / "run", "test", without=[modality]).metrics()
    found = row(measured(family), f"{modality} dropped", share=1.0)
    assert found["metrics"] == pytest.approx(expected, rel=1e-6)
    assert found["difference"] != 0


@pytest.mark.parametrize("family", ["mygo", "adamf_mat"])
def test_all_pictures_of_an_entity_are_no_change(family: str, measured: Callable[[str], dict[str, Any]]) -> None:
    found = row(measured(family), "pictures of an entity")  # the atlas has one of each
    assert (found["difference"], found["low"], found["high"]) == pytest.approx((0, 0, 0), abs=1e-9)


def test_features_that_were_kept_are_compared_with_the_bundle_itself(
    adamf: Path, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    kept = raw_bundles.raw_adamf(tmp_path_factory, train_features=False)
    report = run_quality(kept / "bundle", tmp_path, data=str(kept / "data"), images=kept / "raw" / "images", **QUICK)
    assert ANEW not in {one.change for one in report.rows}
    assert not any(one.beside_anew for one in report.rows)
    (same,) = [one for one in report.rows if one.change == "pictures of an entity"]
    assert same.value == report.baseline["value"]
    (other := tmp_path / "swapped").mkdir()
    for one, another in (("Norway", "Chad"), ("Chad", "Norway")):
        (other / f"{one}.png").symlink_to(kept / "raw" / "images" / f"{another}.png")
    for folder, refused in ((kept, True), (adamf, False)):  # which pictures moved features were made of, nobody knows
        pictures = EntityPictures.of(
            EntityInputs.of(Bundle.open(folder / "bundle")), find_entity_images(other, read_dataset(folder / "raw"))
        )
        assert pictures.inputs.are_moved != refused
        assert pictures.unlike_trained() == 2
    with pytest.raises(DataError, match="2 of 2 entities have other features of these pictures"):
        run_quality(kept / "bundle", tmp_path / "out", images=other, **QUICK)


def test_the_trained_numbers_of_tokens_are_no_change(measured: Callable[[str], dict[str, Any]]) -> None:
    result = measured("mygo")
    points = [one for one in result["rows"] if one["part"] == "frontier"]
    counts = [one["settings"]["tokens"] for one in points]
    text = sorted({one["text"] for one in counts})
    assert len(points) == 3 * 2 * len(text)
    trained = row(result, "tokens", tokens={"visual": 6, "text": text[-1], "half": 8})
    assert trained["difference"] == pytest.approx(0, abs=1e-6)
    nothing = row(result, "tokens", tokens={"visual": 0, "text": 0, "half": 0})
    assert nothing["low"] <= nothing["difference"] <= nothing["high"]
    assert sum(one["recommended"] for one in points) == 1
    assert all(one["frontier"] for one in points if one["recommended"])
    assert all(one["per_second_min"] <= one["per_second"] <= one["per_second_max"] for one in points)


def test_modalities_that_cost_the_same_are_told_apart_by_the_metric_alone(
    measured: Callable[[str], dict[str, Any]],
) -> None:
    points = [one for one in measured("adamf_mat")["rows"] if one["part"] == "frontier"]
    assert [one["level"] for one in points][:2] == ["structure + image + text", "structure + image"]
    assert len(points) == 4
    assert len({one["per_second"] for one in points}) == 1
    best = max(one["value"] for one in points)
    assert [one["value"] for one in points if one["recommended"]] == [best]
    assert any("no number of tokens" in line for line in measured("adamf_mat")["left_out"])


@pytest.mark.parametrize("count", [1, 2, 5])
def test_fewer_tokens_are_those_that_a_training_with_fewer_would_have(mygo: Path, count: int) -> None:
    bundle, dataset = Bundle.open(mygo / "bundle"), read_dataset(mygo / "data")
    orders = token_orders(EntityInputs.of(bundle), dataset)
    config = MyGOConfig.from_json({**bundle.config.to_json(), "num_visual_tokens": count, "num_text_tokens": count})
    expected = encoder_inputs(dataset, config)
    for name in ("visual", "text"):
        tokens, missing = orders[name].cut(count)
        np.testing.assert_array_equal(missing, expected[f"{name}_mask"])
        np.testing.assert_array_equal(tokens[~missing], expected[f"{name}_tokens"][~missing])


def test_exchanged_images_are_of_other_entities_and_none_is_lost(mygo: Path) -> None:
    inputs = EntityInputs.of(Bundle.open(mygo / "bundle"))
    rows = some_rows(inputs.present("visual"), 0.5, seed=1)
    assert len(rows) == round(len(inputs.present("visual")) / 2)
    found = inputs.exchanged("visual", rows)
    for own, other in zip(rows, np.roll(rows, 1), strict=True):
        np.testing.assert_array_equal(found.values["visual"][own], inputs.values["visual"][other])
        assert own != other
    others = np.setdiff1d(np.arange(len(inputs.values["visual"])), rows)
    np.testing.assert_array_equal(found.values["visual"][others], inputs.values["visual"][others])
    assert found.values["text"] is inputs.values["text"]


def test_worse_and_other_pictures_are_new_entities_with_them(mygo: Path) -> None:
    """The vectors are those that `encode_entities` gives of the changed files."""
    bundle = Bundle.open(mygo / "bundle")
    inputs, files = EntityInputs.of(bundle), find_entity_images(mygo / "raw" / "images", read_dataset(mygo / "raw"))
    pictures = EntityPictures.of(inputs, files)
    assert pictures.unlike_trained() == 0
    grey = pictures.seen(lambda image, random: image.convert("L").convert("RGB"))
    # An entity of whose tokens grey changes some, and another one, which is not alike.
    changed = (grey.values["visual"] != inputs.values["visual"]).any(axis=1)
    one, another = (int(row) for row in np.flatnonzero(changed)[[0, -1]])
    other = pictures.seen(others={one: pictures.files[another]})
    own = slice(one, one + 1)
    given: dict[str, Any] = {
        "tokens": {name: [inputs.values[name][own][~inputs.missing[name][own]].tolist()] for name in ("text", "half")},
        "structure": bundle.inputs["structure"][own],
    }
    with Model.load(mygo / "bundle", device="cpu") as model:
        found = [model.entity_vectors(one)]
        for inputs in (grey, other):
            model.encode_again(inputs.batch())
            found.append(model.entity_vectors(one))
        in_grey = images.open(pictures.files[one][0]).convert("RGB").convert("L")
        for vector, picture in zip(found[1:], (in_grey, pictures.files[another][0]), strict=True):
            expected = model.encode_entities(images=[picture], **given)
            np.testing.assert_allclose(vector, expected, rtol=1e-5, atol=1e-6)
            assert not np.allclose(vector, found[0], atol=1e-5)


def test_a_draw_of_fewer_triples_is_said(mygo: Path, tmp_path: Path) -> None:
    report = run_quality(mygo / "bundle", tmp_path, parts=["robustness"], most=20, **QUICK)
    assert (report.count, report.settings["most"]) == (20, 20)
    assert any("--images DIR" in line for line in report.left_out)


def test_without_the_data_set_a_modality_is_there_or_not(mygo: Path, tmp_path: Path) -> None:
    report = run_quality(mygo / "bundle", tmp_path, parts=["frontier"], **QUICK)
    assert len(report.rows) == 8
    assert any("--data DATASET" in line for line in report.left_out)
    without = evaluate_path(mygo / "run", "test", without=["image", "text", "half"]).metrics()
    assert report.rows[-1].metrics == pytest.approx(without, rel=1e-6)


@pytest.mark.parametrize(
    ("asked", "error", "said"),
    [
        ({"parts": ["all"]}, QueryError, "frontier, pictures, robustness"),
        ({"parts": []}, QueryError, "none was asked for"),
        ({"split": "dev"}, QueryError, "'dev'"),
        ({"seeds": 0}, QueryError, "seeds is 0"),
        ({"most": 0}, QueryError, "most is 0"),
        ({"seconds": 0.0}, QueryError, "seconds is 0"),
        ({"tokens": {"visual": [1]}}, QueryError, "--data DATASET"),
        ({"tokens": {"visual": [1]}, "parts": ["pictures"]}, QueryError, "part frontier"),
        ({"tokens": {"sound": [1]}, "data": "DATA"}, QueryError, "'sound'"),
        ({"tokens": {"visual": [10**9]}, "data": "DATA"}, QueryError, "1,000,000,000 visual tokens"),
        ({"tokens": {"visual": range(7), "text": range(8), "half": range(3)}, "data": "DATA"}, QueryError, "at most"),
        ({"data": "atlas-mentions"}, DataError, "mentions"),
        ({"images": "EMPTY"}, DataError, "no picture"),
        ({"images": "gone"}, DataError, "not a folder"),
        ({"data": "OTHER"}, DataError, "no half tokens. Name the data set that the model was trained on"),
        ({"images": "SWAPPED"}, DataError, "2 of 2 entities have other tokens"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_is_written(
    asked: dict[str, Any], error: type[Exception], said: str, mygo: Path, adamf: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "swapped").mkdir()
    for one, other in (("Norway", "Chad"), ("Chad", "Norway")):
        (tmp_path / "swapped" / f"{one}.png").symlink_to(mygo / "raw" / "images" / f"{other}.png")
    places = {"DATA": str(mygo / "data"), "OTHER": str(adamf / "data")}
    folders = {"EMPTY": tmp_path / "empty", "SWAPPED": tmp_path / "swapped", "gone": tmp_path / "gone"}
    given = {**asked}
    if "data" in given:
        given["data"] = places.get(given["data"], given["data"])
    if "images" in given:
        given["images"] = folders[given["images"]]
    with pytest.raises(error, match=said):
        run_quality(mygo / "bundle", tmp_path / "out", **{**QUICK, **given})
    assert not (tmp_path / "out").exists()


def test_a_bundle_without_tokenizers_says_how_to_make_one(golden_bundle: Path, tmp_path: Path) -> None:
    report = run_quality(golden_bundle, tmp_path, **QUICK)
    assert any("data tokenize" in line for line in report.left_out)
    assert {one.part for one in report.rows} == {"frontier", "robustness"}
    with pytest.raises(DataError, match="data tokenize"):
        run_quality(golden_bundle, tmp_path, other_images=tmp_path, **QUICK)
