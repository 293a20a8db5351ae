"""The training examples of relation extraction and entity recognition."""

from __future__ import annotations

import torch

from ....run import Run
from ..examples import Examples


def training_examples(run: Run) -> Examples:
    """The training split of a run."""
    arrays = {name: torch.as_tensor(array) for name, array in run.tensors("sentences-train").items()}
    return Examples(
        arrays["input_ids"],
        arrays["attention_mask"],
        arrays["image_rows"],
        arrays["labels"],
        arrays["token_type_ids"],
    )
