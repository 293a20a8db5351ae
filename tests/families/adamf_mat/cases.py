"""The golden cases of AdaMF-MAT: miniature official checkpoints with inputs and outputs of the authors' code."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmkg_sdk.families.adamf_mat.checkpoint import (
    check_state,
    config_from_checkpoint,
    official_settings,
    read_checkpoint,
)
from mmkg_sdk.families.adamf_mat.model import AdaMF
from mmkg_sdk.families.adamf_mat.objective import Adversary, Objective
from tests.places import GOLDEN

FOLDER = GOLDEN / "adamf_mat"
CASES = ["db15k_like", "mkgy_like", "zero_modal"]


def no_masks(num_entities: int) -> dict[str, torch.Tensor]:
    """Nothing is masked, as in the authors' code."""
    return {name: torch.zeros(num_entities, dtype=torch.bool) for name in ("visual_mask", "text_mask")}


@dataclass(frozen=True)
class Case:
    folder: Path
    options: dict[str, Any]
    inputs: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]

    def model(self, **changes: Any) -> AdaMF:
        """The model of the checkpoint; `changes` to its configuration do not touch the weights."""
        state = read_checkpoint(self.folder / "checkpoint.pt")
        config = replace(config_from_checkpoint(state, **official_settings(self.options)), **changes)
        model = AdaMF(config, no_masks(config.num_entities))
        check_state(state, model.state_dict())
        model.load_state_dict(state)
        return model.eval()

    def adversary(self) -> Adversary:
        config = self.model().config
        adversary = Adversary(self.options["noise_dim"], config.table_width, config.modalities)
        adversary.load_state_dict(torch.load(self.folder / "generator.pt", weights_only=True))
        return adversary

    def objective(self, **changes: Any) -> Objective:
        objective = Objective(self.model(**changes), torch.as_tensor(self.inputs["train_triples"]))
        if objective.adversary is not None:
            objective.adversary.load_state_dict(self.adversary().state_dict())
        return objective

    def batch(self, step: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """A golden batch in our layout. Official: positive j at j, its negative i at P + i P + j."""
        size = self.options["batch_size"]
        flat = np.stack([self.inputs[f"batch_{part}"][step] for part in "hrt"], axis=1)
        positives, negatives = flat[:size], flat[size:].reshape(-1, size, 3).transpose(1, 0, 2)
        replaces_tail = negatives[:, :, 2] != positives[:, None, 2]
        entities = np.where(replaces_tail, negatives[:, :, 2], negatives[:, :, 0])
        return torch.as_tensor(positives), torch.as_tensor(entities), torch.as_tensor(replaces_tail)

    def noise(self, step: int, half: int) -> torch.Tensor:
        """[4, P, z]: of the model's step (half 0) or the generators' step (half 1)."""
        return torch.as_tensor(self.inputs["noise"][step, 4 * half : 4 * half + 4])

    def queries(self, side: str) -> torch.Tensor:
        """The test triples with N in the place of "head" or "tail"."""
        queries = torch.as_tensor(self.inputs["test_triples"]).clone()
        queries[:, 0 if side == "head" else 2] = self.options["num_ent"]
        return queries


def golden(name: str) -> Case:
    folder = FOLDER / name
    with np.load(folder / "inputs.npz") as inputs, np.load(folder / "outputs.npz") as outputs:
        return Case(folder, json.loads((folder / "config.json").read_text()), dict(inputs), dict(outputs))
