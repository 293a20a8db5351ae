"""A third and a fourth modality the whole way: tokens, training, evaluation, export with parity, answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import mmkg_sdk
from mmkg_sdk.answering.link_prediction import Model
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.data import DataSet, open_dataset
from mmkg_sdk.errors import DataError, QueryError
from mmkg_sdk.evaluation.subjects import evaluate_path
from mmkg_sdk.families import contract
from mmkg_sdk.families.built import built_model
from mmkg_sdk.families.measuring import measuring
from mmkg_sdk.run import Run
from mmkg_sdk.training.session import start_training
from tests.families.further import ENTITIES, NAMES, SETTINGS, data, exported, trained

pytest.importorskip("sklearn", reason="learned codebooks need scikit-learn")


@pytest.fixture(params=SETTINGS)
def family(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def run(family: str) -> Run:
    return trained(family)


@pytest.fixture
def bundle(family: str) -> Path:
    return exported(family)


@pytest.fixture(params=["auto", "torch", "onnxruntime"])
def model(request: pytest.FixtureRequest, bundle: Path) -> Iterator[Model]:
    with mmkg_sdk.load(bundle, request.param, "cpu") as opened:
        yield opened


def given(model: Model, row: int, *, without: str = "") -> dict[str, Any]:
    """What the bundle's own encoder was fed for one entity, as a caller gives it."""
    inputs = model.bundle.inputs
    names = [name for name in NAMES if name != without]
    own: dict[str, Any] = {"structure": inputs["structure"][row : row + 1]}
    if model.bundle.family == "adamf_mat":
        masks = {name: inputs[f"{name}_mask"][row : row + 1] for name in names}
        return own | {"features": {name: inputs[f"{name}_features"][row : row + 1] for name in names}, "masks": masks}
    tokens = {name: inputs[f"{name}_tokens"][row][~inputs[f"{name}_mask"][row]].tolist() for name in names}
    return own | {"tokens": {name: [tokens.get(name, [])] for name in NAMES}}


def test_the_configuration_lists_them_and_reads_its_own_json(run: Run) -> None:
    config: Any = contract.config_part(run.family).Config.from_json(json.loads(json.dumps(run.config)))
    assert config.to_json() == run.config
    assert [one.name for one in config.modalities] == NAMES
    if run.family == "mygo":
        assert [(one.num_tokens, one.dropout) for one in config.modalities[2:]] == [(2, 0.0), (8, 0.1)]


def test_an_encoded_entity_is_the_same_by_every_way_and_misses_what_is_left_out(model: Model) -> None:
    for row in (0, 3, 5):
        found = model.encode_entities(**given(model, row))
        np.testing.assert_allclose(found, model.table[row : row + 1], rtol=1e-4, atol=1e-5)
    assert not model.bundle.inputs["sound_mask"][5].all()
    changed = model.encode_entities(**given(model, 5, without="sound"))
    assert np.abs(changed - model.table[5:6]).max() > 1e-4


def test_a_new_entity_answers_like_the_one_that_it_repeats(model: Model) -> None:
    (added,) = model.add_entities(["again"], **given(model, 4))
    scores = model.score_tails("entity 1", "r")[0]
    assert scores[added] == pytest.approx(scores[4], abs=1e-4)
    assert len(model.predict_tails("again", "r", k=3)[0].labels) == 3


def test_an_explanation_weighs_every_modality(model: Model) -> None:
    weights = model.explain_entity("entity 5").modalities
    own = ["pooled"] * (model.bundle.family == "mygo")
    assert list(weights) == [*own, "structure", "image", "text", "german", "sound"]
    assert sum(weights.values()) == pytest.approx(1, abs=1e-5)
    assert weights["german"] == 0, "it has no German text"
    assert weights["sound"] > 0


def test_what_a_caller_forgets_or_makes_up_is_named(bundle: Path) -> None:
    with mmkg_sdk.load(bundle, "auto", "cpu") as model:
        mygo = model.bundle.family == "mygo"
        what, value = ("tokens", [[0]]) if mygo else ("features", np.ones((1, 6), np.float32))
        with pytest.raises(
            QueryError, match=f"{what} has 'french'; the modalities of this model are visual, text, ger"
        ):
            model.encode_entities(**{what: {"french": value}})
        with pytest.raises(QueryError, match="has 'visual', which is given as a keyword of its own"):
            model.encode_entities(**{what: {"visual": value}, f"visual_{what}": value})
        with pytest.raises(QueryError, match="expected a mapping"):
            model.encode_entities(**{what: [1]})
        if mygo:
            with pytest.raises(QueryError, match="no german tokens given; expected those of visual, text, german"):
                model.encode_entities(tokens={"visual": [[0]], "text": [[0]]})
            with pytest.raises(QueryError, match="visual tokens of 1 entities and sound tokens of 2"):
                model.encode_entities(tokens={name: [[0]] * (1 + (name == "sound")) for name in NAMES})


def test_a_modality_is_left_out_of_an_evaluation(run: Run, bundle: Path) -> None:
    report = evaluate_path(run.folder, "test")
    exported = evaluate_path(bundle, "test")
    np.testing.assert_allclose(report.to_json()["mrr"], exported.to_json()["mrr"], rtol=1e-6)  # type: ignore[attr-defined]
    evaluate_path(run.folder, "test", without=["sound", "image"])
    with pytest.raises(DataError, match="cannot leave 'french' out; this model has image, text, german, sound"):
        evaluate_path(run.folder, "test", without=["french"])
    with pytest.raises(DataError, match="is a bundle"):
        evaluate_path(bundle, "test", without=["sound"])
    config: Any = contract.config_part(run.family).Config.from_json(run.config)
    left, whole = built_model(run, config).eval(), built_model(run, config).eval()
    left.leave_out("sound")
    with torch.no_grad():
        tables = [model.entity_table()[:ENTITIES] for model in (left, whole)]
    without = (tables[0] == tables[1]).all(dim=1)
    assert without.tolist() == [row <= 2 for row in range(ENTITIES)], "those that have no sound stay as they were"
    assert not run.inputs["sound_mask"].all(), "the run stays as it was"


def test_it_is_measured_with_tokens_of_all(bundle: Path) -> None:
    opened = Bundle.open(bundle)
    family = measuring(opened.family)
    count = family.default_counts(opened, "all")[-1]
    batch = family.random_entities(opened, count, 3, np.random.default_rng(0))
    if opened.family == "adamf_mat":
        assert family.token_limits(opened, "all") == (5, 5)
        return
    assert family.token_limits(opened, "all") == (6, 2 + 4 * 1024)
    batch = family.random_entities(opened, 13, 3, np.random.default_rng(0))
    assert [batch.arrays[f"{name}_tokens"].shape[1] for name in NAMES] == [3, 3, 3, 2]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([{"name": "french"}], "further_modalities names 'french'; .* beside image and text: german, sound"),
        ([{"name": "german"}, {"name": "german"}], "further_modalities names 'german'"),
        ({"german": 2}, "expected a list of objects"),
        ([{"name": "german", "num_tokens": 0}], "german: num_tokens is 0"),
        ([{"name": "german", "dropout": 1.0}], "a dropout rate lies in"),
        ([{"name": "german", "tokens": 2}], "unknown modality setting 'tokens'"),
        ([{"name": "german", "codebook_rows": 2}], "the data .* decide it"),
    ],
)
def test_a_setting_of_a_modality_that_cannot_be_is_refused(tmp_path: Path, given: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        start_training("mygo", str(data()), tmp_path / "run", settings={"further_modalities": given}, preset="none")
    assert not (tmp_path / "run").exists()


def test_a_model_of_two_modalities_says_nothing_of_others() -> None:
    dataset = open_dataset(data())
    two = DataSet(dataset.graph, {name: dataset.tokens[name] for name in ("visual", "text")})
    for family in SETTINGS:
        config = contract.inputs_part(family).config_for(two, {})
        assert "further_modalities" not in config.to_json()
