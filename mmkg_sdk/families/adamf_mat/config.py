"""Sizes and settings of an AdaMF-MAT model, and the published presets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...errors import DataError
from ..config import FamilyConfig


@dataclass(frozen=True)
class AdaMFConfig(FamilyConfig):
    """Sizes and margin, which the tensors of a checkpoint tell, and the settings of the training, which they do not.

    `embedding_dim` counts complex coordinates: an entity has twice as many numbers, a relation as many.
    `epsilon` widens the range of the initial values, and with it the scale of the phases. `adversarial_weight` is
    `mu` in the authors' scripts; 0, as in all of them, leaves the generators out.
    """

    num_entities: int
    num_relations: int
    visual_feature_width: int
    text_feature_width: int
    embedding_dim: int = 200
    margin: float = 12.0
    epsilon: float = 2.0
    num_negatives: int = 128
    adversarial_temperature: float = 2.0
    adversarial_weight: float = 0.0
    noise_dim: int = 64
    generator_learning_rate: float = 1e-4

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("margin", "generator_learning_rate"):
            if not getattr(self, name) > 0:
                raise DataError(f"{name} is {getattr(self, name)!r}; expected a number above 0.")


# The name by which every family's configuration is found.
Config = AdaMFConfig

# What the published scripts have in common. They keep the last epoch, hence one validation, at the end.
_PUBLISHED: dict[str, Any] = {
    "num_negatives": 128,
    "adversarial_temperature": 2.0,
    "adversarial_weight": 0.0,
    "noise_dim": 64,
    "generator_learning_rate": 1e-4,
    "batch_size": 1024,
    "learning_rate": 2e-5,
    "epochs": 1000,
    "schedule": "constant",
    "clip_norm": None,
    "validate_every": 1000,
    "seed": 42,
}

# Settings by preset; names of AdaMFConfig and TrainingSettings in one flat table (spec section 3.3).
PRESETS: dict[str, dict[str, Any]] = {
    "db15k": {**_PUBLISHED, "embedding_dim": 250, "margin": 12.0},
    "mkg-w": {**_PUBLISHED, "embedding_dim": 200, "margin": 12.0},
    "mkg-y": {**_PUBLISHED, "embedding_dim": 200, "margin": 4.0},
}
