"""Official checkpoints: what is read, and what is refused."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from mmkg_sdk.errors import DataError, ExportError
from mmkg_sdk.families.mimic.checkpoint import (
    UNTOLD_SETTINGS,
    check_state,
    config_from_checkpoint,
    official_settings,
    read_checkpoint,
)
from mmkg_sdk.families.mimic.model import Mimic
from tests.families.mimic.cases import CASES, FOLDER, golden

TOKENS = "encoder.clip.text_model.embeddings.token_embedding.weight"
POSITIONS = "encoder.clip.vision_model.embeddings.position_embedding.weight"
# What the tensors of case "base" do not tell.
UNTOLD = {"num_text_heads": 4, "num_image_heads": 4, "text_length": 14}


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    return read_checkpoint(FOLDER / "base" / "checkpoint.pt")


def saved(content: Any, folder: Path) -> Path:
    torch.save(content, folder / "model.ckpt")
    return folder / "model.ckpt"


@pytest.mark.parametrize("name", CASES)
def test_every_size_is_read_from_the_tensors(name: str) -> None:
    case = golden(name)
    config, options = case.model().config, case.options
    text, vision, dims = options["clip_text_config"], options["clip_vision_config"], options["model"]
    expected = {
        "vocabulary_size": text["vocab_size"],
        "text_length": options["text_max_length"],
        "text_positions": text["max_position_embeddings"],
        "text_width": text["hidden_size"],
        "text_feedforward_dim": text["intermediate_size"],
        "num_text_layers": text["num_hidden_layers"],
        "num_text_heads": text["num_attention_heads"],
        "image_size": vision["image_size"],
        "patch_size": vision["patch_size"],
        "image_width": vision["hidden_size"],
        "image_feedforward_dim": vision["intermediate_size"],
        "num_image_layers": vision["num_hidden_layers"],
        "num_image_heads": vision["num_attention_heads"],
        "image_feature_dim": dims["dv"],
        "text_unit_dim": dims["TGLU_hidden_dim"],
        "image_unit_dim": dims["IDLU_hidden_dim"],
        "cross_modal_unit_dim": dims["CMFU_hidden_dim"],
        "without_unit": "",
        "pretrained_clip": "",
        "tokenizer": "none",
        "entity_dtype": "float32",
    }
    assert config.to_json() == expected


def test_a_fresh_model_has_the_names_of_the_checkpoint(state: dict[str, torch.Tensor]) -> None:
    fresh = Mimic(config_from_checkpoint(state, **UNTOLD)).state_dict()
    assert set(fresh) == set(state)
    everything = torch.load(FOLDER / "base" / "checkpoint.pt", weights_only=True)["state_dict"]
    left_out = {f"encoder.clip.{tower}_model.embeddings.position_ids" for tower in ("text", "vision")}
    assert set(everything) - set(state) == left_out


def test_a_file_without_position_ids_is_the_same(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    found = read_checkpoint(saved({"state_dict": state}, tmp_path))
    assert all(torch.equal(found[name], state[name]) for name in state)
    check_state(found, Mimic(config_from_checkpoint(found, **UNTOLD)).state_dict())


def test_published_widths_have_the_published_heads(state: dict[str, torch.Tensor]) -> None:
    state[TOKENS] = torch.zeros(110, 512)
    state[POSITIONS] = torch.zeros(17, 768)
    state["encoder.clip.text_model.embeddings.position_embedding.weight"] = torch.zeros(77, 512)
    config = config_from_checkpoint(state)
    assert (config.num_text_heads, config.num_image_heads, config.text_length) == (8, 12, 40)
    assert UNTOLD_SETTINGS == {}


def test_other_widths_need_their_heads(state: dict[str, torch.Tensor]) -> None:
    with pytest.raises(ExportError, match=r"num_text_heads is in no tensor .* text_width 32 is not the published 512"):
        config_from_checkpoint(state)
    with pytest.raises(ExportError, match=r"num_image_heads is in no tensor .* pass --set num_image_heads="):
        config_from_checkpoint(state, num_text_heads=4)
    with pytest.raises(DataError, match="text_width 32 is not a multiple of num_text_heads 5"):
        config_from_checkpoint(state, num_text_heads=5, num_image_heads=4)


def test_options_of_the_authors_are_renamed_and_a_foreign_clip_is_refused() -> None:
    assert official_settings({"text_max_length": 40, "num_entity": 5, "model": {"dv": 96}}) == {"text_length": 40}
    options = golden("base").options
    assert official_settings(options) == {"num_text_heads": 4, "num_image_heads": 4, "text_length": 14}
    with pytest.raises(DataError, match="activation 'gelu'"):
        official_settings({"clip_text_config": {"hidden_act": "gelu"}})


class Trap:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> Any:
        return (print, ("code ran",))


def foreign(monkeypatch: pytest.MonkeyPatch) -> Any:
    """An object like OmegaConf's: of a package that is only there while it is saved."""
    module = ModuleType("omegaconf.dictconfig")
    source = """
class DictConfig:
    def __setstate__(self, state):
        print("code ran")
"""
    exec(source, module.__dict__)
    for package in ("omegaconf", "omegaconf.dictconfig"):
        monkeypatch.setitem(sys.modules, package, ModuleType(package) if package == "omegaconf" else module)
    config = module.DictConfig()
    config.__dict__.update(content={"lr": 1e-5, "model": {"dv": 96}}, parent=config, kind=module.DictConfig)
    return config


def test_foreign_objects_beside_the_weights_are_neither_imported_nor_called(
    state: dict[str, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = foreign(monkeypatch)
    content = {
        "state_dict": state,
        "pytorch-lightning_version": "1.7.7",
        "hyper_parameters": config,
        "hparams_type": type(config),
        "loops": {"reduce": torch.mean, "trap": Trap()},
    }
    path = saved(content, tmp_path)
    monkeypatch.undo()
    assert "omegaconf.dictconfig" not in sys.modules
    found = read_checkpoint(path)
    assert all(torch.equal(found[name], state[name]) for name in state)
    assert "omegaconf.dictconfig" not in sys.modules
    assert capsys.readouterr().out == ""
    with pytest.raises(Exception, match="Unsupported global"):
        torch.load(path, weights_only=True)  # what was let through for one file is not let through for the next


def test_a_foreign_object_in_the_place_of_a_tensor_is_refused(
    state: dict[str, torch.Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ExportError, match=f"{TOKENS} is print, expected a tensor"):
        read_checkpoint(saved({"state_dict": state | {TOKENS: Trap()}}, tmp_path))
    with pytest.raises(ExportError, match="expected a dict of tensors by name, found print"):
        read_checkpoint(saved(Trap(), tmp_path))
    assert capsys.readouterr().out == ""


def test_what_reaches_for_the_system_is_refused(tmp_path: Path) -> None:
    class Reach:
        def __reduce__(self) -> Any:
            import os

            return (os.system, ("touch reached",))

    with pytest.raises(ExportError, match="not a tensor-only torch checkpoint"):
        read_checkpoint(saved({"state_dict": {}, "hyper_parameters": Reach()}, tmp_path))
    assert not Path("reached").exists()


@pytest.mark.parametrize("content", [torch.zeros(3), {"model_state_dict": {}}, {"state_dict": [torch.zeros(3)]}])
def test_what_is_no_lightning_file_is_refused(content: Any, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"(expected a dict of|holds no) tensors"):
        read_checkpoint(saved(content, tmp_path))


def test_a_missing_and_a_cut_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="no such file"):
        read_checkpoint(tmp_path / "absent")
    cut = tmp_path / "cut"
    cut.write_bytes((FOLDER / "base" / "checkpoint.pt").read_bytes()[:5000])
    with pytest.raises(ExportError, match="is cut off or damaged: it has 5,000 bytes"):
        read_checkpoint(cut)


def test_a_diverged_training_is_refused(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    state["matcher.tglu.fc_key.weight"][3, 1] = float("nan")
    with pytest.raises(ExportError, match=r"matcher\.tglu\.fc_key\.weight holds NaN"):
        read_checkpoint(saved({"state_dict": state}, tmp_path))


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        (TOKENS, None, "token_embedding.weight is missing"),
        ("matcher.cmfu.text_fc.weight", None, r"matcher\.cmfu\.text_fc\.weight is missing"),
        ("encoder.image_cls_fc.weight", torch.zeros(4), r"image_cls_fc\.weight has shape \[4\]; expected 2 axes"),
        (POSITIONS, torch.zeros(18, 40), "has 18 positions; expected a square number of patches and 1"),
        (POSITIONS, torch.zeros(0, 40), "has 0 positions"),
    ],
)
def test_a_file_of_another_family_or_a_misshapen_one_is_refused(
    state: dict[str, torch.Tensor], name: str, tensor: torch.Tensor | None, message: str
) -> None:
    del state[name]
    if tensor is not None:
        state[name] = tensor
    with pytest.raises(ExportError, match=message):
        config_from_checkpoint(state, **UNTOLD)


def test_a_checkpoint_of_mygo_is_refused() -> None:
    mygo = FOLDER.parent / "mygo" / "db15k_like" / "checkpoint.pt"
    with pytest.raises(ExportError, match="not a checkpoint of MIMIC"):
        config_from_checkpoint(read_checkpoint(mygo))


def test_missing_unknown_and_misshapen_tensors_are_named(state: dict[str, torch.Tensor]) -> None:
    expected = Mimic(config_from_checkpoint(state, **UNTOLD)).state_dict()
    check_state(state, expected)
    state["more"] = state.pop("matcher.tglu.fc_cls.bias")
    state["encoder.image_cls_fc.bias"] = torch.zeros(5)
    message = (
        r"matcher\.tglu\.fc_cls\.bias is missing \(expected \[20\]\); more is unknown; encoder\.image_cls_fc\.bias has "
        r"shape \[5\], expected \[24\]"
    )
    with pytest.raises(ExportError, match=message):
        check_state(state, expected)


def test_a_layer_that_is_missing_in_the_middle_is_named(state: dict[str, torch.Tensor]) -> None:
    lost = [name for name in state if name.startswith("encoder.clip.vision_model.encoder.layers.1.")]
    for name in lost:
        del state[name]
    with pytest.raises(ExportError, match=r"layers\.1\.self_attn\.k_proj\.weight is missing"):
        check_state(state, Mimic(config_from_checkpoint(state, **UNTOLD)).state_dict())
