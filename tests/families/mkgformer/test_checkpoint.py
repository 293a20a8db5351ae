"""Official checkpoints: what is read, and what is refused."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmkg_sdk.errors import ExportError
from mmkg_sdk.export import import_checkpoint
from mmkg_sdk.families.mkgformer.checkpoint import (
    UNTOLD_SETTINGS,
    check_state,
    config_from_checkpoint,
    official_settings,
    read_checkpoint,
)
from mmkg_sdk.families.mkgformer.model import build_model
from mmkg_sdk.families.mkgformer.sentences.scoring import relation_scores
from tests.families.mkgformer.cases import CASES, FOLDER, close, golden

WORDS = "model.unimo.text_embeddings.word_embeddings.weight"
DECODER = "model.cls.predictions.decoder.weight"


def content_of(name: str) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(FOLDER / name / "checkpoint.pt", weights_only=True)
    return content


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    return read_checkpoint(FOLDER / "lp_official12" / "checkpoint.pt")


def saved(content: Any, folder: Path) -> Path:
    torch.save(content, folder / "checkpoint")
    return folder / "checkpoint"


@pytest.mark.parametrize("name", CASES)
def test_task_and_sizes_are_read_from_the_tensors(name: str) -> None:
    case = golden(name)
    options, config = case.options, case.model().config
    text, vision = options["text_config"], options["vision_config"]
    names = {"link_prediction": "link-prediction", "relation_extraction": "relation-extraction"}
    assert config.task == names.get(options["task"], "entity-recognition")
    assert (config.vocabulary_size, config.base_vocabulary_size) == (
        options["total_vocab_size"],
        options["base_vocab_size"],
    )
    assert (config.hidden_dim, config.num_layers, config.num_heads) == tuple(
        text[key] for key in ("hidden_size", "num_hidden_layers", "num_attention_heads")
    )
    assert (config.text_feedforward_dim, config.vision_feedforward_dim) == (
        text["intermediate_size"],
        vision["intermediate_size"],
    )
    assert (config.num_positions, config.num_token_types) == (text["max_position_embeddings"], text["type_vocab_size"])
    assert (config.image_size, config.patch_size) == (vision["image_size"], vision["patch_size"])
    for same in ("num_entities", "num_relations", "num_labels"):
        assert getattr(config, same) == options.get(same)
    assert config.fusion_start_layer == options["fusion_start_layer"]
    if config.task == "link-prediction":
        assert (config.stage, config.loss) == (2 - options["pretrain"], "bce" if options["bce"] else "cross-entropy")


@pytest.mark.parametrize("name", CASES)
def test_every_tensor_survives_a_round_trip(name: str, tmp_path: Path) -> None:
    content = content_of(name)
    original = content.get("state_dict", content)
    model = golden(name).model()
    found = model.state_dict()
    assert found.keys() == original.keys()
    for key, tensor in original.items():
        assert found[key].dtype == tensor.dtype
        assert torch.equal(found[key], tensor), key
    again = read_checkpoint(saved(found, tmp_path))
    assert all(torch.equal(again[key], original[key]) for key in original)


@pytest.mark.parametrize("name", ["lp_official12", "mre_small", "mner_small"])
def test_position_numbers_may_be_absent(name: str, tmp_path: Path) -> None:
    content = content_of(name)
    kept = {key: t for key, t in content.get("state_dict", content).items() if not key.endswith("position_ids")}
    found = read_checkpoint(saved({"state_dict": kept}, tmp_path))
    model = golden(name).model()
    check_state(found, model.state_dict())
    model.load_state_dict(found, strict=False)
    case = golden(name)
    close(model.encoder(case.texts, case.images), case.outputs["last_hidden_state"])


@pytest.mark.parametrize("absent", [WORDS, DECODER, "model.cls.predictions.bias", "model.cls.predictions.decoder.bias"])
def test_one_of_two_tied_tensors_is_enough(state: dict[str, torch.Tensor], absent: str, tmp_path: Path) -> None:
    expected = state.pop(absent)
    assert torch.equal(read_checkpoint(saved({"state_dict": state}, tmp_path))[absent], expected)


def test_tied_tensors_that_differ_are_refused(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    state[DECODER] = state[DECODER] + 1
    with pytest.raises(ExportError, match=r"word_embeddings\.weight and .*decoder\.weight differ"):
        read_checkpoint(saved({"state_dict": state}, tmp_path))


def test_tied_tensors_stay_one_in_the_model(state: dict[str, torch.Tensor]) -> None:
    model = golden("lp_official12").model()
    assert model.head.decoder.weight is model.encoder.text_embeddings.word_embeddings.weight
    assert model.head.decoder.bias is model.head.bias
    assert WORDS in model.state_dict()
    assert DECODER in model.state_dict()


def test_settings_of_the_authors_are_renamed() -> None:
    found = official_settings(
        {"max_seq_length": 80, "pretrain": 0, "bce": 1, "num_rcnn_images": 0, "lr": 1e-5, "text_config": {}}
    )
    assert found == {"max_length": 80, "stage": 2, "loss": "bce", "num_rcnn_images": None}
    assert UNTOLD_SETTINGS == {}


@pytest.mark.parametrize("absent", [{"num_aux_images": 0, "aux_image_size": 0}, {"aux_image_size": None}])
def test_a_checkpoint_without_an_image_group_is_imported(absent: dict[str, Any], tmp_path: Path) -> None:
    case = golden("mre_small")
    (tmp_path / "config.json").write_text(json.dumps(case.options | absent))
    fields = {name: array for name, array in case.inputs.items() if name != "aux_values"}
    np.savez(tmp_path / "inputs.npz", **fields)
    run = import_checkpoint(
        "mkgformer",
        case.folder / "checkpoint.pt",
        tmp_path / "run",
        inputs=tmp_path / "inputs.npz",
        config=tmp_path / "config.json",
        settings={"max_length": fields["input_ids"].shape[1]},
    )
    assert (run.config["num_aux_images"], run.config["num_rcnn_images"]) == (None, 12)
    # By the formula of the spec: the class token, and the patches of the group that is there.
    model = case.model(num_aux_images=None)
    expected = model(case.texts, case.images._replace(main=None, aux=None)).detach().numpy()
    count = len(case.inputs["labels"])
    np.testing.assert_array_equal(relation_scores(model, run, "test", count), expected)


def test_entities_and_relations_are_told_apart_by_one_setting(state: dict[str, torch.Tensor]) -> None:
    rest = {"num_heads": 4, "aux_image_size": 16, "rcnn_image_size": 8}
    for known in ({"num_entities": 31}, {"num_relations": 7}):
        config = config_from_checkpoint(state, base_vocabulary_size=90, **known, **rest)
        assert (config.num_entities, config.num_relations) == (31, 7)
    assert config_from_checkpoint(state, num_entities=31, num_relations=7, **rest).base_vocabulary_size == 90
    with pytest.raises(ExportError, match=r"pass --set num_entities=\.\.\. \(14951 for FB15k-237"):
        config_from_checkpoint(state, base_vocabulary_size=90, **rest)
    with pytest.raises(ExportError, match="has 128 rows, which do not divide into base_vocabulary_size 30522"):
        config_from_checkpoint(state, num_entities=31, **rest)
    with pytest.raises(ExportError, match="base_vocabulary_size is 90 by the checkpoint's tensors, 91 by the settings"):
        config_from_checkpoint(state, base_vocabulary_size=91, num_entities=31, num_relations=7, **rest)


def test_heads_are_asked_for_unless_the_width_is_the_published_one(state: dict[str, torch.Tensor]) -> None:
    with pytest.raises(ExportError, match=r"the width 32 is not the published 768 \(with 12\); pass --set num_heads"):
        config_from_checkpoint(state, num_entities=31, base_vocabulary_size=90)


def test_the_published_defaults() -> None:
    tensors = {
        "text_embeddings.word_embeddings.weight": (30526, 768),
        "text_embeddings.position_embeddings.weight": (512, 768),
        "text_embeddings.token_type_embeddings.weight": (2, 768),
        "vision_embeddings.patch_embedding.weight": (768, 3, 32, 32),
        "vision_embeddings.position_embedding.weight": (50, 768),
        "encoder.vision_layers.0.mlp.fc1.weight": (3072, 768),
        **{f"encoder.text_layer.{layer}.intermediate.dense.weight": (3072, 768) for layer in range(12)},
    }
    state = {f"model.{name}": torch.empty(shape, device="meta") for name, shape in tensors.items()}
    config = config_from_checkpoint(state | {"classifier.weight": torch.empty(23, 1536, device="meta")})
    assert (config.num_heads, config.fusion_start_layer, config.max_length, config.image_size) == (12, 8, 80, 224)
    assert (config.base_vocabulary_size, config.num_labels, config.visual_tokens) == (30522, 23, 61)


class Trap:
    def __reduce__(self) -> Any:
        return (print, ("code ran",))


def foreign_package(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A package that is there when a file is written and gone when it is read."""
    module = types.ModuleType("lightning_options")
    monkeypatch.setitem(sys.modules, "lightning_options", module)
    for kind in (type("Namespace", (), {}), type("default_of", (), {})):
        kind.__module__ = "lightning_options"
        setattr(module, kind.__name__, kind)
    return module


def test_foreign_objects_beside_the_weights_do_no_harm_and_are_not_called(
    state: dict[str, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = foreign_package(monkeypatch)
    arguments = module.Namespace()
    arguments.lr = 4e-5
    options = {"args": arguments, "gpus": module.default_of, "trap": Trap()}
    path = saved({"state_dict": state, "hyper_parameters": options, "epoch": 3}, tmp_path)
    monkeypatch.delitem(sys.modules, "lightning_options")
    found = read_checkpoint(path)
    assert found.keys() == state.keys()
    assert torch.equal(found[WORDS], state[WORDS])
    assert "lightning_options" not in sys.modules
    assert capsys.readouterr().out == ""


def test_an_object_in_the_place_of_a_tensor_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ExportError, match=r"crf\.x is print, expected a tensor"):
        read_checkpoint(saved({"crf.x": Trap()}, tmp_path))
    with pytest.raises(ExportError, match="expected a dict of tensors by name, found print"):
        read_checkpoint(saved(Trap(), tmp_path))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("content", [torch.zeros(3), [torch.zeros(3)], {1: torch.zeros(3)}])
def test_what_is_no_dict_of_names_is_refused(content: Any, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="expected a dict of tensors by name"):
        read_checkpoint(saved(content, tmp_path))


def test_a_missing_and_a_cut_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="no such file"):
        read_checkpoint(tmp_path / "absent")
    cut = tmp_path / "cut"
    cut.write_bytes((FOLDER / "mre_small" / "checkpoint.pt").read_bytes()[:5000])
    with pytest.raises(ExportError, match="is cut off or damaged: it has 5,000 bytes"):
        read_checkpoint(cut)


@pytest.mark.parametrize("names", [["other"], ["classifier.x", "crf.x"]])
def test_a_checkpoint_of_no_task_or_of_two_is_refused(names: list[str]) -> None:
    with pytest.raises(ExportError, match="not a checkpoint of MKGformer: expected tensors of exactly one head"):
        config_from_checkpoint({name: torch.zeros(2) for name in names})


def test_a_diverged_training_is_refused(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    state["model.unimo.vision_pre_layrnorm.weight"][3] = float("nan")
    with pytest.raises(ExportError, match=r"vision_pre_layrnorm\.weight holds NaN"):
        read_checkpoint(saved(state, tmp_path))


def test_missing_unknown_and_misshapen_tensors_are_named(state: dict[str, torch.Tensor]) -> None:
    expected = build_model(golden("lp_official12").model().config).state_dict()
    check_state(state, expected)
    state["more"] = state.pop("model.unimo.vision_pre_layrnorm.bias")
    state["model.unimo.text_pooler.dense.bias"] = torch.zeros(5)
    message = r"vision_pre_layrnorm\.bias is missing.*; more is unknown; .*text_pooler\.dense\.bias has shape \[5\]"
    with pytest.raises(ExportError, match=message):
        check_state(state, expected)
    with pytest.raises(ExportError, match=r"word_embeddings\.weight is missing; expected 2 axes"):
        config_from_checkpoint({"crf.transitions": torch.zeros(3, 3)})
