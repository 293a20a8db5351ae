"""The golden cases of MIMIC: miniature official checkpoints with inputs and outputs of the authors' code."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmkg_sdk.families.mimic.checkpoint import (
    check_state,
    config_from_checkpoint,
    official_settings,
    read_checkpoint,
)
from mmkg_sdk.families.mimic.model import Encoded, Mimic
from mmkg_sdk.families.mimic.objective import Items, Objective
from tests.places import GOLDEN

FOLDER = GOLDEN / "mimic"
CASES = ["base", "single_mention"]
SIDES = ["mention", "entity"]


@dataclass(frozen=True)
class Case:
    folder: Path
    options: dict[str, Any]
    inputs: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]

    def model(self) -> Mimic:
        state = read_checkpoint(self.folder / "checkpoint.pt")
        model = Mimic(config_from_checkpoint(state, **official_settings(self.options)))
        check_state(state, model.state_dict())
        model.load_state_dict(state)
        return model.eval()

    def encoder_inputs(self, side: str) -> list[torch.Tensor]:
        names = ("input_ids", "attention_mask", "pixel_values")
        return [torch.as_tensor(self.inputs[f"{side}_{name}"]) for name in names]

    def encoded(self, side: str) -> Encoded:
        """What the authors' encoder gave."""
        names = ("text_embeds", "image_embeds", "text_seq_tokens", "image_patch_tokens")
        return Encoded(*(torch.as_tensor(self.outputs[f"{side}_{name}"]) for name in names))

    def objective(self) -> Objective:
        """The training pairs; an image that is all zero is a missing one. Mention images come first in the table."""
        pixels = np.concatenate([self.inputs[f"{side}_pixel_values"] for side in SIDES])
        rows = torch.where(torch.as_tensor(pixels).flatten(1).any(dim=1), torch.arange(len(pixels)), -1)[:, None]
        count = len(self.inputs["mention_input_ids"])
        texts = [[torch.as_tensor(self.inputs[f"{s}_{n}"]) for n in ("input_ids", "attention_mask")] for s in SIDES]
        answers = torch.as_tensor(self.inputs["train_entity_index"])
        return Objective(self.model(), Items(*texts[0], rows[:count]), Items(*texts[1], rows[count:]), answers, pixels)


def golden(name: str) -> Case:
    folder = FOLDER / name
    with np.load(folder / "inputs.npz") as inputs, np.load(folder / "outputs.npz") as outputs:
        return Case(folder, json.loads((folder / "config.json").read_text()), dict(inputs), dict(outputs))


def close(found: torch.Tensor | np.ndarray, expected: np.ndarray) -> None:
    """Within the tolerance of the golden README: 1e-4 absolute or 1e-5 relative."""
    found = found.detach().numpy() if isinstance(found, torch.Tensor) else found
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)


def ranks(scores: np.ndarray) -> np.ndarray:
    """[B, E]: the rank of every entity per mention, best first, equal scores by ascending row."""
    order = np.argsort(-scores, axis=1, kind="stable")
    found = np.empty_like(order)
    np.put_along_axis(found, order, np.arange(1, scores.shape[1] + 1)[None].repeat(len(scores), 0), axis=1)
    return found
