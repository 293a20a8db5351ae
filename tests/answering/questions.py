"""What test_device_path.py asks a model here and stand_in_gpu.py in its own process."""

from __future__ import annotations

import numpy as np

from mmkg_sdk.answering.answers.predictions import Predictions
from mmkg_sdk.answering.link_prediction import Model


def questions(model: Model) -> list[Predictions]:
    """What is asked: of several entities and of one, more answers than the kernels give at a time, some candidates."""
    heads = np.arange(6)
    return [
        model.predict_tails(heads, heads % 3, k=3),
        model.predict_heads(heads % 3, heads, k=12),
        model.predict_tails(heads, 0, k=6, candidates=[1, 2, 3, 5, 8, 13, 21]),
        model.predict_tails(0, 0, k=4, filter_known=False),
    ]
