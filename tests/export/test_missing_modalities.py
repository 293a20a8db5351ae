"""An official checkpoint never goes on without a modality that it was trained with, unless the user says so."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from mmkg_sdk.cli.group import cli
from mmkg_sdk.data.graph import DataSet, Features, KnowledgeGraph, RawTokens
from mmkg_sdk.data.open import open_dataset
from mmkg_sdk.data.write import write_dataset
from mmkg_sdk.errors import DataError, ExportError
from mmkg_sdk.evaluation.subjects import evaluate_path
from mmkg_sdk.export import import_checkpoint
from mmkg_sdk.families import contract
from mmkg_sdk.files.labels import Labels
from mmkg_sdk.modalities.text import learn_clip_tokenizer
from mmkg_sdk.run import Run
from tests.data.folders import own_linking
from tests.families.mimic.small import TINY as TINY_MIMIC
from tests.families.mkgformer.sentence_bundles import LENGTHS, TEXTS, toy_data
from tests.families.mkgformer.sentence_bundles import TINY as TINY_MKGFORMER

LABELS = Labels(["Oslo", "Norway", "Lima", "Peru", "Bergen"])
TRIPLES = np.array([[0, 0, 1], [2, 0, 3], [4, 1, 1]])


def tokens(seed: int, rows: int, lists: dict[str, list[int]]) -> RawTokens:
    codebook = np.random.default_rng(seed).normal(size=(rows, 6)).astype(np.float32)
    return RawTokens(lists, codebook, rows - 1, 0, "own")


@pytest.fixture
def graph() -> DataSet:
    """Every entity has other tokens, Bergen no image."""
    visual = {label: [row, row, row + 4] for row, label in enumerate(LABELS) if label != "Bergen"}
    text = {label: [2 * row, row] for row, label in enumerate(LABELS)}
    return DataSet(
        KnowledgeGraph("graph", LABELS, Labels(["capital of", "in"], kind="relation"), TRIPLES, TRIPLES, TRIPLES),
        {"visual": tokens(1, 12, visual), "text": tokens(2, 12, text)},
    )


MYGO = {"num_heads": 2, "num_visual_tokens": 2, "num_text_tokens": 2}


@pytest.fixture
def mygo(graph: DataSet, tmp_path: Path) -> Path:
    """An official checkpoint, the folder `tokens` that it was trained on and the folder `plain` without tokens."""
    write_dataset(graph, tmp_path / "tokens")
    write_dataset(DataSet(graph.graph), tmp_path / "plain")
    prepare, settings = contract.inputs_part("mygo"), {**MYGO, "embedding_dim": 8, "feedforward_dim": 8}
    config = prepare.config_for(graph, settings)
    torch.manual_seed(0)
    model = contract.model_part("mygo").build(config.to_json(), prepare.run_data(graph, config).tensors["inputs"])
    given = prepare.initial_weights(graph, config)
    model.load_state_dict({name: torch.as_tensor(array) for name, array in given.items()}, strict=False)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter) if parameter.requires_grad else None
    torch.save({"model_state_dict": model.state_dict()}, tmp_path / "model.ckpt")
    return tmp_path


def imported(folder: Path, data: str = "plain", **options: Any) -> Run:
    options.setdefault("settings", MYGO)
    return import_checkpoint("mygo", folder / "model.ckpt", folder / "run", data=str(folder / data), **options)


def test_mygo_without_tokens_is_refused_with_the_way_to_pass_them(mygo: Path) -> None:
    with pytest.raises(ExportError, match=r"plain has no visual tokens\. .*--tokens DIR .*--allow-missing image"):
        imported(mygo)
    with pytest.raises(ExportError, match=r"plain has no text tokens\. .*--allow-missing text"):
        imported(mygo, allow_missing=["image"])
    assert not (mygo / "run").exists()


def test_tokens_of_another_folder_answer_as_those_of_the_data_set(mygo: Path) -> None:
    run = imported(mygo, tokens=mygo / "tokens")
    own = imported(mygo, "tokens", overwrite=True)
    for name, array in own.inputs.items():
        np.testing.assert_array_equal(run.inputs[name], array)
    assert run.inputs["visual_mask"].tolist() == [[False, False]] * 4 + [[True, True]]
    assert (run.source["data"], run.source["tokens"]) == ("plain", "tokens")


def test_who_says_so_goes_on_without_and_is_told(mygo: Path) -> None:
    expected = evaluate_path(imported(mygo, tokens=mygo / "tokens").folder, "test", device="cpu").metrics()
    with pytest.warns(UserWarning, match="was trained with (image|text)s, but .* answers otherwise") as told:
        run = imported(mygo, allow_missing=["image", "text"], overwrite=True)
    assert len(told) == 2
    assert run.inputs["visual_mask"].all()
    assert run.source["allow_missing"] == ["image", "text"]
    assert evaluate_path(run.folder, "test", device="cpu").metrics() != expected


def test_the_command_takes_tokens_and_names_what_lacks(mygo: Path) -> None:
    heads = [part for name, value in MYGO.items() for part in ("--set", f"{name}={value}")]
    command = ["import", "mygo", "--checkpoint", str(mygo / "model.ckpt"), "--data", str(mygo / "plain"), *heads]
    refused = CliRunner().invoke(cli, [*command, "--out", str(mygo / "run")])
    assert "--tokens DIR" in str(refused.exception)
    done = CliRunner().invoke(cli, [*command, "--out", str(mygo / "run"), "--tokens", str(mygo / "tokens")])
    assert done.exit_code == 0, done.output
    assert Run.open(mygo / "run").has_weights


@pytest.mark.parametrize("modality", ["visual", "text"])
def test_tokens_of_another_codebook_are_refused(modality: str, graph: DataSet, mygo: Path) -> None:
    raw = graph.tokens[modality]
    changed = raw.codebook.copy()
    changed[7, 2] += 0.5
    for number, (codebook, message) in enumerate([
        (changed, "has another row 7 than the checkpoint's, so they stand for other things"),
        (np.concatenate([raw.codebook, changed]), r"has \[24, 6\] numbers, the checkpoint's \[12, 6\]"),
    ]):  # fmt: skip
        other = mygo / f"other-{number}"
        write_dataset(replace(graph, tokens={**graph.tokens, modality: replace(raw, codebook=codebook)}), other)
        with pytest.raises(ExportError, match=f"the codebook of the {modality} tokens .* {message}"):
            imported(mygo, tokens=other)


def test_fewer_visual_tokens_than_the_authors_program_takes_are_told(mygo: Path) -> None:
    with pytest.warns(
        UserWarning, match=r"4 of 5 entities have some visual tokens, but fewer than .* = 3\. The authors"
    ):
        imported(mygo, "tokens", settings=MYGO | {"num_visual_tokens": 3})


def test_a_checkpoint_in_half_precision_has_the_same_codebook(mygo: Path) -> None:
    state = torch.load(mygo / "model.ckpt", weights_only=True)["model_state_dict"]
    torch.save({name: value.half() for name, value in state.items()}, mygo / "model.ckpt")
    assert imported(mygo, "tokens").has_weights


def test_an_unknown_modality_and_tokens_beside_inputs_are_named(mygo: Path) -> None:
    with pytest.raises(ExportError, match="allow_missing has 'sound'; expected 'image' or 'text'"):
        imported(mygo, allow_missing=["sound"])
    with pytest.raises(ExportError, match="tokens goes with a data set"):
        import_checkpoint("mygo", mygo / "model.ckpt", mygo / "run", inputs="a.npz", tokens="t", settings=MYGO)
    with pytest.raises(ExportError, match="allow_missing goes with a data set"):
        import_checkpoint("mygo", mygo / "model.ckpt", mygo / "run", inputs="a.npz", allow_missing=["text"])


def test_a_checkpoint_that_was_trained_without_images_needs_none(graph: DataSet, mygo: Path) -> None:
    prepare, without = contract.inputs_part("mygo"), replace(graph, tokens={"text": graph.tokens["text"]})
    write_dataset(without, mygo / "texts")
    config = prepare.config_for(without, {**MYGO, "embedding_dim": 8, "feedforward_dim": 8})
    model = contract.model_part("mygo").build(config.to_json(), prepare.run_data(without, config).tensors["inputs"])
    given = {name: torch.as_tensor(array) for name, array in prepare.initial_weights(without, config).items()}
    torch.save(model.state_dict() | given, mygo / "model.ckpt")
    assert imported(mygo, "texts").inputs["visual_mask"].all()


def test_adamf_mat_needs_features_only_where_they_decide_what_is_masked(graph: DataSet, tmp_path: Path) -> None:
    features = Features(np.ones((5, 4), np.float32), np.ones(5, np.bool_))
    full = replace(graph, tokens={}, features={"visual": features, "text": features})
    write_dataset(DataSet(graph.graph), tmp_path / "plain")
    prepare = contract.inputs_part("adamf_mat")
    config = prepare.config_for(full, {"embedding_dim": 4})
    model = contract.model_part("adamf_mat").build(config.to_json(), prepare.run_data(full, config).tensors["inputs"])
    given = {name: torch.as_tensor(array) for name, array in prepare.initial_weights(full, config).items()}
    torch.save(model.state_dict() | given, tmp_path / "model.ckpt")

    def run(**settings: Any) -> Run:
        return import_checkpoint(
            "adamf_mat", tmp_path / "model.ckpt", tmp_path / "run", data=str(tmp_path / "plain"), settings=settings
        )

    with pytest.raises(ExportError, match=r"plain has no visual features or tokens, so every entity would be masked"):
        run(missing_modalities="mask")
    assert not run().inputs["visual_mask"].any(), "the features are in the checkpoint"


def test_mimic_without_any_image_or_with_another_tokenizer_is_refused(tmp_path: Path) -> None:
    folder = own_linking(tmp_path / "data")  # its images are no images
    tokenizer = learn_clip_tokenizer(["Georgia has old wine."] * 2, 600)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    sizes = {"num_text_heads": 2, "num_image_heads": 3, "text_length": 12}
    told = {**sizes, "tokenizer": str(tmp_path / "tokenizer.json")}

    def save(vocabulary_size: int) -> None:
        config = contract.config_part("mimic").Config.from_json({**TINY_MIMIC, "vocabulary_size": vocabulary_size})
        state = contract.model_part("mimic").build(config.to_json(), {}).state_dict()
        torch.save({"state_dict": state}, tmp_path / "model.ckpt")

    def run(settings: dict[str, Any] = told, **options: Any) -> Run:
        return import_checkpoint(
            "mimic", tmp_path / "model.ckpt", tmp_path / "run", data=str(folder), settings=settings, **options
        )

    save(tokenizer.get_vocab_size())
    with pytest.raises(ExportError, match=r"data has none that can be read.*--images DIR.*--allow-missing image"):
        run()
    with pytest.warns(UserWarning, match="data has none that can be read"):
        assert run(allow_missing=["image"]).source["allow_missing"] == ["image"]
    with pytest.raises(ExportError, match="a tokenizer learned from data gives other ids than the checkpoint's"):
        run({**sizes, "tokenizer": "learned"})
    save(tokenizer.get_vocab_size() + 7)
    with pytest.raises(ExportError, match=r"has 5\d\d tokens, the checkpoint 5\d\d; they do not belong"):
        run()


@pytest.mark.parametrize("task", ["mre", "mner"])
def test_mkgformer_without_crops_is_refused(task: str, tmp_path: Path) -> None:
    data = toy_data(task, tmp_path / "data")
    prepare = contract.inputs_part("mkgformer")
    settings = {"max_length": LENGTHS[task], "tokenizer": str(TEXTS / "vocab.txt"), "num_rcnn_images": None}
    config = prepare.config_for(data, {**TINY_MKGFORMER, **settings})
    torch.save(contract.model_part("mkgformer").build(config.to_json(), {}).state_dict(), tmp_path / "m")
    told = {name: TINY_MKGFORMER[name] for name in ("num_heads", "aux_image_size", "fusion_start_layer")}
    told |= settings | {"mask_token_id": config.mask_token_id}

    def run(**changes: Any) -> Run:
        return import_checkpoint(
            "mkgformer", tmp_path / "m", tmp_path / "run", data=str(tmp_path / "data"), settings={**told, **changes}
        )

    with pytest.raises(ExportError, match=r"no sentence of data has any of the group aux.*--set num_aux_images=null"):
        run()
    assert run(num_aux_images=None).has_weights, "a checkpoint without image groups lacks nothing"


def test_mkgformer_without_images_or_texts_of_entities_is_refused(
    graph: DataSet, tmp_path: Path, picture: Path
) -> None:
    dataset = DataSet(graph.graph)
    write_dataset(dataset, tmp_path / "plain")
    prepare = contract.inputs_part("mkgformer")
    config = prepare.config_for(dataset, {**TINY_MKGFORMER, "max_length": 16, "tokenizer": str(TEXTS / "vocab.txt")})

    def missing(dataset: DataSet) -> list[str]:
        return list(prepare.missing_modalities(dataset, prepare.run_data(dataset, config), {}))

    assert missing(open_dataset(tmp_path / "plain")) == ["image", "text"]
    assert missing(replace(dataset, images={"Oslo": (picture,)}, descriptions={"Oslo": "A city."})) == []


def test_an_import_that_cannot_write_its_weights_leaves_nothing(mygo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mmkg_sdk.run

    def full(_: Any) -> bytes:
        assert not (mygo / "run").exists(), "weights come before the run has its name"
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(mmkg_sdk.run, "_encoded", full)
    with pytest.raises(DataError, match="No space left on device"):
        imported(mygo, "tokens")
    assert "run" not in os.listdir(mygo)
    monkeypatch.undo()
    assert imported(mygo, "tokens").has_weights
    shutil.rmtree(mygo / "run")
