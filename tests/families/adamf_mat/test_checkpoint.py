"""Official checkpoints: what is read, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mmkg_sdk.errors import ExportError
from mmkg_sdk.families.adamf_mat.checkpoint import (
    UNTOLD_SETTINGS,
    check_state,
    config_from_checkpoint,
    official_settings,
    read_checkpoint,
)
from tests.families.adamf_mat.cases import CASES, FOLDER, golden, no_masks


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    return read_checkpoint(FOLDER / "db15k_like" / "checkpoint.pt")


def saved(content: Any, folder: Path) -> Path:
    torch.save(content, folder / "checkpoint")
    return folder / "checkpoint"


@pytest.mark.parametrize("name", CASES)
def test_sizes_margin_and_epsilon_are_read_from_the_tensors(name: str) -> None:
    case = golden(name)
    config = case.model().config
    found = [config.num_entities, config.num_relations, config.visual_feature_width, config.text_feature_width]
    assert found == [case.options[option] for option in ("num_ent", "num_rel", "img_dim", "text_dim")]
    assert (config.embedding_dim, config.margin, config.epsilon) == (case.options["dim"], case.options["margin"], 2.0)
    assert (config.num_negatives, config.adversarial_weight) == (case.options["neg_num"], case.options["mu"])
    assert config.adversarial_temperature == case.options["adv_temp"]


def test_scoring_needs_no_setting_besides_the_file(state: dict[str, torch.Tensor]) -> None:
    assert UNTOLD_SETTINGS == {}
    assert config_from_checkpoint(state).num_negatives == 128
    assert official_settings({"lrg": 1e-3, "missing_rate": 0.2}) == {"generator_learning_rate": 1e-3}


def test_fresh_weights_have_the_constants_of_the_checkpoint(state: dict[str, torch.Tensor]) -> None:
    from mmkg_sdk.families.adamf_mat.model import AdaMF

    config = config_from_checkpoint(state)
    fresh = AdaMF(config, no_masks(config.num_entities))
    assert list(fresh.state_dict()) == list(state)
    for name in ("zero_const", "pi_const", "ent_embedding_range", "rel_embedding_range", "margin"):
        torch.testing.assert_close(fresh.state_dict()[name], state[name])
    assert fresh.ent_embeddings.weight.abs().max() <= state["ent_embedding_range"]
    assert fresh.rel_embeddings.weight.abs().max() <= state["rel_embedding_range"]


def test_a_margin_with_decimals_is_read_as_it_was_typed(state: dict[str, torch.Tensor]) -> None:
    state |= {"margin": torch.tensor([4.1]), "rel_embedding_range": torch.tensor([(4.1 + 2.5) / 16])}
    config = config_from_checkpoint(state)
    assert (config.margin, config.epsilon) == (4.1, 2.5)


def test_the_names_of_the_periodic_saving_are_understood(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    content = {f"model.{name}": tensor for name, tensor in state.items()}
    content |= {name: torch.zeros(1) for name in ("zero_const", "pi_const", "loss.zero_const", "loss.adv_temperature")}
    found = read_checkpoint(saved(content, tmp_path))
    assert found.keys() == state.keys()
    assert found["pi_const"] == state["pi_const"]


def test_a_checkpoint_of_mygo_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="holds no tensors"):
        read_checkpoint(saved({"model_state_dict": {}, "optimizer": {}}, tmp_path))
    with pytest.raises(ExportError, match=r"tensor ent_embeddings\.weight is missing"):
        config_from_checkpoint({"ent_embeddings": torch.zeros(4, 1, 8)})


class Trap:
    def __reduce__(self) -> Any:
        return (print, ("code ran",))


@pytest.mark.parametrize("content", [Trap(), {"ent_embeddings.weight": Trap()}])
def test_a_file_that_carries_code_is_refused_and_not_run(
    content: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ExportError, match=r"(is|found) print"):
        read_checkpoint(saved(content, tmp_path))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("content", [torch.zeros(3), [torch.zeros(3)], {1: torch.zeros(3)}])
def test_what_is_no_dict_of_names_is_refused(content: Any, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="expected a dict of tensors by name"):
        read_checkpoint(saved(content, tmp_path))


def test_a_missing_and_a_cut_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="no such file"):
        read_checkpoint(tmp_path / "absent")
    cut = tmp_path / "cut"
    cut.write_bytes((FOLDER / "db15k_like" / "checkpoint.pt").read_bytes()[:5000])
    with pytest.raises(ExportError, match="is cut off or damaged: it has 5,000 bytes"):
        read_checkpoint(cut)


def test_a_diverged_training_is_refused(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    state["ent_attn.weight"][0, 3] = float("nan")
    with pytest.raises(ExportError, match=r"ent_attn\.weight holds NaN"):
        read_checkpoint(saved(state, tmp_path))


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("rel_embeddings.weight", torch.zeros(7, 15), "entities have width 32, relations 15"),
        ("margin", torch.zeros(2), "margin has 2 values"),
        ("margin", torch.zeros(()), r"tensor margin has shape \[\]"),
        ("rel_embedding_range", torch.zeros(1), "expected numbers above 0"),
        ("pi_const", torch.zeros(1), "expected numbers above 0"),
    ],
)
def test_tensors_that_contradict_each_other_are_refused(
    state: dict[str, torch.Tensor], name: str, tensor: torch.Tensor, message: str
) -> None:
    with pytest.raises(ExportError, match=message):
        config_from_checkpoint(state | {name: tensor})


def test_missing_unknown_and_misshapen_tensors_are_named(state: dict[str, torch.Tensor]) -> None:
    expected = dict(state)
    check_state(state, expected)
    state["more"] = state.pop("text_proj.bias")
    state["img_proj.bias"] = torch.zeros(5)
    message = (
        r"text_proj\.bias is missing \(expected \[32\]\); more is unknown; img_proj\.bias has shape \[5\], "
        r"expected \[32\]"
    )
    with pytest.raises(ExportError, match=message):
        check_state(state, expected)
