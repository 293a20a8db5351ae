"""Features that a training keeps as they were made: no number of them moves, and everything else is trained."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from mmkg_sdk.bundle import Bundle
from mmkg_sdk.data import read_dataset
from mmkg_sdk.export import export_bundle
from mmkg_sdk.families.adamf_mat.config import AdaMFConfig
from mmkg_sdk.families.adamf_mat.inputs import initial_weights
from mmkg_sdk.run import Run
from mmkg_sdk.training.session import resume_training, start_training
from mmkg_sdk.training.settings import TrainingSettings
from mmkg_sdk.training.steps.optimizers import make_optimizers
from tests.families.adamf_mat.cases import golden
from tests.families.further import data

FEATURES = [f"{name}_embeddings.weight" for name in ("img", "text", "german", "sound")]
# Of all that could move a weight which no loss asks for, the decay is the likeliest.
SETTINGS = {
    "embedding_dim": 4,
    "num_negatives": 4,
    "noise_dim": 4,
    "batch_size": 16,
    "learning_rate": 1e-2,
    "optimizer": "adamw",
    "weight_decay": 0.1,
    "validate_every": 2,
    "threads": 1,
    "train_features": False,
}


def train(out: Path, **settings: object) -> Run:
    """With a third and a fourth modality, and half of the texts dropped."""
    with warnings.catch_warnings(action="ignore"):
        return start_training(
            "adamf_mat",
            str(data()),
            out,
            settings={**SETTINGS, "epochs": 2, **settings},
            preset="none",
            drop_modality={"text": 0.5},
            device="cpu",
        )[0]


@pytest.mark.parametrize("weight", [0.0, 0.5])
@pytest.mark.parametrize("missing", ["zeros", "mask"])
def test_they_are_to_the_bit_what_the_training_began_with(weight: float, missing: str, tmp_path: Path) -> None:
    run = train(tmp_path / "run", adversarial_weight=weight, missing_modalities=missing)
    whole = initial_weights(read_dataset(data()), AdaMFConfig.from_json(run.config))
    found = run.weights()
    assert set(whole) == set(FEATURES)
    for name in FEATURES:
        rows = found[name].numpy()
        lost = ~rows.any(axis=1) & whole[name].any(axis=1)
        assert lost.sum() == (6 if name == "text_embeddings.weight" else 0)
        np.testing.assert_array_equal(rows[~lost], whole[name][~lost])


@pytest.mark.parametrize("kept", [True, False])
def test_a_setting_decides_whether_a_step_moves_them(kept: bool) -> None:
    """One step of the objective on the golden model, the published one otherwise."""
    objective = golden("db15k_like").objective(train_features=not kept, adversarial_weight=0.5)
    before = {name: tensor.clone() for name, tensor in objective.model.state_dict().items()}
    optimizer, _ = make_optimizers(objective, TrainingSettings(learning_rate=1e-2), torch.device("cpu"))
    objective(*golden("db15k_like").batch(0))["loss"].backward()
    optimizer.step()
    moved = {name for name, tensor in objective.model.state_dict().items() if not torch.equal(tensor, before[name])}
    trained = {name for name, _ in objective.model.named_parameters()}
    assert {"img_embeddings.weight", "text_embeddings.weight"} <= trained
    assert moved == (trained - {"img_embeddings.weight", "text_embeddings.weight"} if kept else trained)


def test_they_have_no_place_in_the_state_of_the_optimizer_and_a_resumed_training_is_the_same(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", epochs=4, adversarial_weight=0.5)
    part = train(tmp_path / "part", adversarial_weight=0.5)
    manifest = (part.folder / "run.json").read_text().replace('"epochs": 2', '"epochs": 4')
    (part.folder / "run.json").write_text(manifest)
    resume_training(part.folder, device="cpu")
    first, second = (torch.load(run.folder / "resume.pt", weights_only=True) for run in (whole, part))
    for name, tensor in first["objective"].items():
        assert torch.equal(tensor, second["objective"][name]), name
    # Entities, relations, attention, and a weight and a bias of each of four projections.
    assert [len(state["state"]) for state in (first["optimizers"][0], second["optimizers"][0])] == [11, 11]


def test_run_and_bundle_say_so_and_hold_them(tmp_path: Path) -> None:
    run = train(tmp_path / "run")
    assert Run.open(run.folder).config["train_features"] is False
    export_bundle(run, tmp_path / "bundle")
    bundle = Bundle.open(tmp_path / "bundle")
    assert AdaMFConfig.of(bundle.config).train_features is False
    assert "| train_features | False |" in (tmp_path / "bundle" / "MODEL_CARD.md").read_text()
    found = run.weights()
    for name, weights in zip(("visual", "text", "german", "sound"), FEATURES, strict=True):
        np.testing.assert_array_equal(bundle.inputs[f"{name}_features"], found[weights].numpy())
