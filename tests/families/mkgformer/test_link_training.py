"""Training of link prediction: both stages from the command line, and what a stage may start from."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from mmkg_sdk.cli.group import cli
from mmkg_sdk.data.dropped import drop_modalities
from mmkg_sdk.data.graph import DataSet
from mmkg_sdk.data.open import open_dataset
from mmkg_sdk.errors import DataError
from mmkg_sdk.families.mkgformer import inputs
from mmkg_sdk.families.mkgformer.config import PRESETS, MKGformerConfig
from mmkg_sdk.families.mkgformer.links import inputs as link_inputs
from mmkg_sdk.families.mkgformer.model import build
from mmkg_sdk.families.mkgformer.objective import Objective, objective_of
from mmkg_sdk.run import Run
from mmkg_sdk.training.session import resume_training, start_training
from tests.families.mkgformer.cases import FOLDER

pytest.importorskip("tokenizers", reason="texts need tokenizers")
images = pytest.importorskip("PIL.Image", reason="pictures need Pillow")

TINY: dict[str, Any] = {
    "hidden_dim": 16,
    "num_layers": 2,
    "num_heads": 2,
    "text_feedforward_dim": 24,
    "vision_feedforward_dim": 24,
    "num_positions": 32,
    "patch_size": 8,
    "image_size": 16,
    "num_aux_images": None,
    "num_rcnn_images": None,
    "fusion_start_layer": 1,
    "max_length": 24,
    "tokenizer": str(FOLDER / "text_prep" / "vocab.txt"),
    "optimizer": "adamw",
    "learning_rate": 1e-2,
    "schedule": "constant",
    "batch_size": 8,
    "epochs": 2,
    "validate_every": 2,
    "threads": 1,
}
SETTINGS = {field.name for field in fields(MKGformerConfig)}
STAGE_1 = {"stage": 1, "loss": "cross-entropy", "label_smoothing": 0.1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("data") / "toy"
    (place / "images").mkdir(parents=True)
    for name in ("train.tsv", "dev.tsv", "test.tsv", "entity2text.txt", "relation2text.txt", "relations.txt"):
        shutil.copy(FOLDER / "text_prep" / name, place)
    for entity, colour in (("m.a0", "red"), ("m.c2", "blue")):
        images.new("RGB", (16, 16), colour).save(place / "images" / f"{entity}.png")
    return place


@pytest.fixture(scope="module")
def toy(folder: Path) -> DataSet:
    return open_dataset(folder)


@pytest.fixture(scope="module")
def stage_1(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(folder, tmp_path_factory.mktemp("run") / "stage-1", **STAGE_1)


def train(data: Path, out: Path, start: Path | None = None, **settings: Any) -> Run:
    return start_training(
        "mkgformer", str(data), out, settings=TINY | settings, preset="none", start=start, device="cpu"
    )[0]


def new_objective(dataset: DataSet, out: Path, **settings: Any) -> tuple[Run, Objective]:
    known = {name: value for name, value in {**TINY, **settings}.items() if name in SETTINGS}
    config = link_inputs.config_for(dataset, known)
    data = link_inputs.run_data(dataset, config)
    run = Run.create(out, family="mkgformer", config=config.to_json(), data=data)
    return run, objective_of(run, build(run.config, run.inputs))


def test_stage_1_changes_the_word_table_alone(stage_1: Run) -> None:
    torch.manual_seed(stage_1.settings["seed"])
    fresh = build(stage_1.config, stage_1.inputs).state_dict()
    changed = {name for name, tensor in stage_1.weights().items() if not tensor.equal(fresh[name])}
    words = "text_embeddings.word_embeddings.weight"
    assert changed == {f"model.unimo.{words}", "model.cls.predictions.decoder.weight"}


def test_stage_2_begins_where_stage_1_ended(folder: Path, stage_1: Run, tmp_path: Path) -> None:
    run = train(folder, tmp_path / "run", stage_1.folder, epochs=1, learning_rate=1e-12, dropout=0.0)
    for name, tensor in run.weights().items():
        torch.testing.assert_close(tensor, stage_1.weights()[name], rtol=0, atol=1e-6)
    assert run.source["start"] == "stage-1"
    assert run.source["start_sha256"] == hashlib.sha256(stage_1.weights_path.read_bytes()).hexdigest()
    assert train(folder, tmp_path / "alone", epochs=1).source["start"] is None


def test_an_interrupted_stage_2_is_resumed_to_the_bit(folder: Path, stage_1: Run, tmp_path: Path) -> None:
    whole = train(folder, tmp_path / "whole", stage_1.folder, epochs=4)
    train(folder, tmp_path / "part", stage_1.folder, epochs=2)
    path = tmp_path / "part" / "run.json"
    path.write_text(path.read_text().replace('"epochs": 2', '"epochs": 4'))
    state = torch.load(tmp_path / "part" / "resume.pt", weights_only=True)
    state["settings"]["epochs"] = 4
    torch.save(state, tmp_path / "part" / "resume.pt")
    resume_training(tmp_path / "part", device="cpu")
    for name, tensor in Run.open(tmp_path / "part").weights().items():
        assert tensor.equal(whole.weights()[name]), name


def test_a_start_of_another_model_or_other_data_is_refused(folder: Path, stage_1: Run, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    lines = (folder / "entity2text.txt").read_text().splitlines(keepends=True)
    (other / "entity2text.txt").write_text("".join(lines[::-1]))
    for data, settings, message in [
        (other, {}, r"stage-1 has another entities\.txt than these data make"),
        (folder, {"tokenizer": "learned"}, "another tokenizer.json"),
        (folder, {"hidden_dim": 32}, "stage-1 does not fit these settings: .* has shape"),
    ]:
        with pytest.raises(DataError, match=message):
            train(data, tmp_path / "run", stage_1.folder, **settings)
        assert not (tmp_path / "run").exists()
    with pytest.raises(DataError, match="is a run of mkgformer; expected one of adamf_mat"):
        start_training(
            "adamf_mat",
            str(folder),
            tmp_path / "run",
            settings={"embedding_dim": 4},
            preset="none",
            start=stage_1.folder,
        )


def test_a_run_is_not_replaced_by_one_that_begins_with_its_weights(folder: Path, stage_1: Run, tmp_path: Path) -> None:
    shutil.copytree(stage_1.folder, tmp_path / "run")
    with pytest.raises(DataError, match="is to begin with its own weights and would replace them"):
        start_training(
            "mkgformer",
            str(folder),
            tmp_path / "run",
            settings=TINY,
            preset="none",
            start=tmp_path / "run",
            overwrite=True,
        )
    assert Run.open(tmp_path / "run").has_weights


def test_both_stages_run_from_the_command_line(folder: Path, stage_1: Run, tmp_path: Path) -> None:
    def call(*arguments: str) -> str:
        result = CliRunner().invoke(cli, arguments)
        assert result.exit_code == 0, result.output
        return result.stdout

    sets = [f"--set={name}={'null' if value is None else value}" for name, value in TINY.items()]
    run, bundle = str(tmp_path / "run"), str(tmp_path / "bundle")
    start = ["--start", str(stage_1.folder)]
    plain = ["--device", "cpu", "--preset", "none"]
    call("train", "mkgformer", "--data", str(folder), "--out", run, *plain, *start, *sets)
    assert "MRR" in call("evaluate", run, "--device", "cpu")
    call("export", run, "--out", bundle)
    assert "MRR" in call("evaluate", bundle)
    assert "1." in call("predict", bundle, "--head", "/m/a0", "--relation", "/r/0/x", "-k", "3")
    assert "passed: True" in call("verify", bundle)
    both = CliRunner().invoke(cli, ["train", "mkgformer", "--resume", run, *start])
    assert both.exit_code == 2
    assert "pass no others" in both.output


def test_examples_are_the_official_ones(toy: DataSet, tmp_path: Path) -> None:

    features = json.loads((FOLDER / "text_prep" / "lp_expected.json").read_text())["features"]
    for case, settings in [
        ("stage1_bce0_train", STAGE_1),
        ("stage2_bce1_train", {}),
        ("stage2_bce0_train", {"loss": "cross-entropy"}),
    ]:
        run, objective = new_objective(toy, tmp_path / case, **settings)
        examples, shown = objective.examples, run.inputs["image_rows"]
        assert len(examples.input_ids) == len(features[case])
        for row, feature in enumerate(features[case]):
            length = len(feature["input_ids"])
            assert examples.input_ids[row, :length].tolist() == feature["input_ids"]
            assert examples.attention_mask[row].sum() == length
            assert examples.labels[row] == feature["label"]
            assert examples.image_rows[row] == shown[toy.graph.entities.find(feature["image_entity"])]
            if settings == {}:
                assert objective._targets(torch.tensor([row]))[0].nonzero()[:, 0].tolist() == sorted(feature["labels"])


def test_stage_1_has_one_right_answer_for_each_text(toy: DataSet, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="set loss to 'cross-entropy'"):
        new_objective(toy, tmp_path / "run", stage=1)


def test_dropped_modalities_are_not_read(toy: DataSet, tmp_path: Path) -> None:
    assert sorted(toy.images) == ["/m/a0", "/m/c2"]
    blind = drop_modalities(toy, {"image": 1.0}, 0)
    assert new_objective(blind, tmp_path / "blind")[0].inputs["image_rows"].tolist() == [-1] * 9
    silent = drop_modalities(toy, {"text": 1.0}, 0)
    assert link_inputs.entity_texts(silent) == list(toy.graph.entities)
    assert silent.graph.entities == toy.graph.entities


def test_the_atlas_has_its_flags_and_descriptions(tmp_path: Path) -> None:
    atlas = open_dataset("atlas", cache=tmp_path)
    assert len(atlas.images) > 100
    assert [path.name for path in atlas.images["France"]] == ["France.png"]
    settings = {n: v for n, v in PRESETS["atlas"].items() if n in SETTINGS}
    config = link_inputs.config_for(atlas, settings)
    data = link_inputs.run_data(atlas, config)
    assert (data.tensors["inputs"]["image_rows"] >= 0).sum() == len(atlas.images)
    assert data.tensors["images"]["main_present"].all()
    plain = link_inputs.config_for(replace(atlas, images={}), settings)
    assert np.all(link_inputs.run_data(replace(atlas, images={}), plain).tensors["inputs"]["image_rows"] == -1)


def test_training_begins_with_the_pretrained_towers(toy: DataSet, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="pretrained towers need transformers")
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    bert = transformers.BertModel(transformers.BertConfig(vocab_size=96, max_position_embeddings=32, **sizes))
    vision = transformers.CLIPVisionConfig(image_size=16, patch_size=8, **sizes)
    bert.save_pretrained(tmp_path / "bert")
    transformers.CLIPVisionModel(vision).save_pretrained(tmp_path / "clip")
    shutil.copy(FOLDER / "text_prep" / "vocab.txt", tmp_path / "bert")  # where the tokenizer is taken from
    known = {name: value for name, value in TINY.items() if name in SETTINGS and name != "tokenizer"}
    config = link_inputs.config_for(toy, {**known, "pretrained_text": str(tmp_path / "bert")})
    assert config.base_vocabulary_size == 96
    with pytest.raises(DataError, match="go together"):
        inputs.initial_weights(toy, config)
    config = replace(config, pretrained_vision=str(tmp_path / "clip"))
    given, again = (inputs.initial_weights(toy, config) for _ in range(2))
    words = "model.unimo.text_embeddings.word_embeddings.weight"
    np.testing.assert_array_equal(given[words][:96], bert.embeddings.word_embeddings.weight.detach().numpy())
    assert given[words].shape == (96 + 9 + 4, 16)
    np.testing.assert_array_equal(given[words], again[words])
    assert not any("fusion_dense" in name or name.startswith("model.cls") for name in given)
    assert inputs.initial_weights(toy, replace(config, pretrained_text="", pretrained_vision="")) == {}
