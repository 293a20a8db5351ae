"""The golden cases: miniature official checkpoints with inputs and outputs of the authors' code."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmkg_sdk.families.mygo.checkpoint import (
    check_state,
    config_from_checkpoint,
    official_settings,
    read_checkpoint,
)
from mmkg_sdk.families.mygo.modalities import token_inputs
from mmkg_sdk.families.mygo.model import MyGO
from tests.places import GOLDEN

MYGO_CASES = ["db15k_like", "mkgw_like", "deep_more_rel", "inner_score"]

# The field names of the golden inputs, by our input name.
_INPUT_FIELDS = {
    "visual_tokens": "visual_token_index",
    "visual_mask": "visual_mask",
    "text_tokens": "text_token_index",
    "text_mask": "text_mask",
}


@dataclass(frozen=True)
class GoldenCase:
    folder: Path
    options: dict[str, Any]
    inputs: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]

    def model(self, *, dropout: bool = True) -> MyGO:
        state = read_checkpoint(self.folder / "checkpoint.pt")
        config = config_from_checkpoint(state, **official_settings(self.options))
        if not dropout:
            names = [name for name in config.to_json() if name.endswith("dropout")]
            config = replace(config, **dict.fromkeys(names, 0.0))
        arrays = {name: torch.as_tensor(self.inputs[_INPUT_FIELDS[name]]) for name in token_inputs(config.modalities)}
        model = MyGO(config, arrays)
        check_state(state, model.state_dict())
        model.load_state_dict(state, strict=False)
        return model.eval()

    def queries(self, field: str) -> torch.Tensor:
        """Official offset form -> plain ids with N at the missing place (spec 2.3)."""
        offsets = torch.tensor([self.options["num_rel"], self.options["num_ent"], self.options["num_rel"]])
        return torch.as_tensor(self.inputs[field]) - offsets


def golden_case(name: str) -> GoldenCase:
    folder = GOLDEN / "mygo" / name
    with np.load(folder / "inputs.npz") as inputs, np.load(folder / "outputs.npz") as outputs:
        options = json.loads((folder / "config.json").read_text())
        return GoldenCase(folder, options, dict(inputs), dict(outputs))
