"""The golden cases of MKGformer: miniature official checkpoints with inputs and outputs of the authors' code."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmkg_sdk.families.mkgformer.checkpoint import (
    check_state,
    config_from_checkpoint,
    official_settings,
    read_checkpoint,
)
from mmkg_sdk.families.mkgformer.encoder import Images, Texts
from mmkg_sdk.families.mkgformer.examples import Examples
from mmkg_sdk.families.mkgformer.model import build_model
from mmkg_sdk.families.mkgformer.objective import Objective
from mmkg_sdk.modalities.training_images import StoredImages
from mmkg_sdk.ranking.known_triples import TAIL, KnownTriples, Queries
from tests.places import GOLDEN

FOLDER = GOLDEN / "mkgformer"
LP_CASES = ["lp_official12", "lp_pretrain_small"]
MRE_CASES = ["mre_official12", "mre_small"]
MNER_CASES = ["mner_official10", "mner_small"]
CASES = LP_CASES + MRE_CASES + MNER_CASES


@dataclass(frozen=True)
class Case:
    folder: Path
    options: dict[str, Any]
    inputs: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]

    def model(self, **changes: Any) -> Any:
        """The model of the checkpoint in evaluation mode; `changes` to its configuration do not touch the weights.

        Its texts are cut to the length of the golden ones, as the graphs of the sentence tasks fix that length.
        """
        state = read_checkpoint(self.folder / "checkpoint.pt")
        changes = {"max_length": self.inputs["input_ids"].shape[1], **changes}
        model = build_model(replace(config_from_checkpoint(state, **official_settings(self.options)), **changes))
        check_state(state, model.state_dict())
        model.load_state_dict(state)
        return model.eval()

    def tensor(self, name: str) -> torch.Tensor:
        return torch.as_tensor(self.inputs[name])

    @property
    def texts(self) -> Texts:
        types = self.tensor("token_type_ids") if "token_type_ids" in self.inputs else None
        return Texts(self.tensor("input_ids"), self.tensor("attention_mask"), types)

    @property
    def images(self) -> Images:
        return Images(self.tensor("pixel_values"), self.tensor("aux_values"), self.tensor("rcnn_values"))


def golden(name: str) -> Case:
    folder = FOLDER / name
    with np.load(folder / "inputs.npz") as inputs, np.load(folder / "outputs.npz") as outputs:
        return Case(folder, json.loads((folder / "config.json").read_text()), dict(inputs), dict(outputs))


def close(found: torch.Tensor, expected: np.ndarray) -> None:
    """At the tolerance of the golden README."""
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-5, atol=1e-4)


def stored_images(case: Case) -> dict[str, StoredImages]:
    names = {"main": "pixel_values", "aux": "aux_values", "rcnn": "rcnn_values"}
    return {group: StoredImages(case.inputs[name]) for group, name in names.items()}


def objective(case: Case, **changes: Any) -> Objective:
    """Over the golden batch as a training set; link prediction's known triples are its multi-hot labels."""
    texts, rows = case.texts, torch.arange(len(case.texts.input_ids))
    labels = case.tensor("label" if "label" in case.inputs else "labels")
    examples = Examples(texts.input_ids, texts.attention_mask, rows, labels, texts.token_type_ids)
    model = case.model(**changes)
    if model.config.loss != "bce" or "label" not in case.inputs:
        return Objective(model, examples, stored_images(case))
    row, answer = case.inputs["labels"].nonzero()
    # Query i: entity 0 with relation i, asking for the tail.
    known = KnownTriples(np.stack([np.zeros_like(row), row, answer], axis=1))
    asked = Queries(np.zeros_like(rows), rows.numpy(), np.full(len(rows), TAIL))
    return Objective(model, replace(examples, queries=asked), stored_images(case), known)
