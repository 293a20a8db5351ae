"""Sizes and settings of an AdaMF-MAT model, and the published presets."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Self

from ...bundle.config import FamilyConfig
from ...errors import DataError
from ...ranking.exact import RankingProtocol
from ...ranking.scores import CandidateScore, ComplexDistance
from ...registry import LINK_PREDICTION
from ..further import check_further, further_from_json, further_to_json
from .modalities import FeatureModality


@dataclass(frozen=True)
class AdaMFConfig(FamilyConfig):
    """Sizes and margin, which the tensors of a checkpoint tell, and the settings of the training, which they do not.

    Attributes:
        num_entities, num_relations: of the graph.
        visual_feature_width, text_feature_width: numbers in the features of an image, of a text.
        embedding_dim: complex coordinates: an entity has twice as many numbers, a relation as many.
        margin: of the loss, and what a score is at the most.
        epsilon: widens the range of the initial values, and with it the scale of the phases. Fixed in a training, where
            `epsilon` is that of the optimizer.
        num_negatives: wrong triples for each right one.
        adversarial_temperature: how much the loss looks at the hardest negatives.
        adversarial_weight: of the loss against made images and texts, `mu` in the authors' scripts; 0, as in all of
            them, leaves the generators out.
        noise_dim: random numbers that a generator begins with.
        generator_learning_rate: of the generators.
        missing_modalities: what an entity without image or text gets: "zeros", a vector of zeros that is projected and
            takes part in the fusion like any other (official), or "mask", no share in the fusion at all.
        train_features: whether the training moves the features of the entities (official), or keeps them as they were
            made, so that a new entity's are what those of the trained ones are.
        further_modalities: those beyond image and text, in the order of their names; the data decide all of them.
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
    missing_modalities: Literal["zeros", "mask"] = "zeros"
    train_features: bool = True
    further_modalities: tuple[FeatureModality, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        check_further(self.further_modalities, FeatureModality)
        for name in ("margin", "generator_learning_rate"):
            if not getattr(self, name) > 0:
                raise DataError(f"{name} is {getattr(self, name)!r}; expected a number above 0.")
        if self.missing_modalities not in ("zeros", "mask"):
            raise DataError(f"missing_modalities is {self.missing_modalities!r}; expected 'zeros' or 'mask'.")
        if not isinstance(self.train_features, bool):
            raise DataError(f"train_features is {self.train_features!r:.80}; expected true or false.")

    @cached_property
    def modalities(self) -> tuple[FeatureModality, ...]:
        """All of them, in the order of the fusion, behind structure."""
        return (
            FeatureModality("visual", self.visual_feature_width),
            FeatureModality("text", self.text_feature_width),
            *self.further_modalities,
        )

    @property
    def num_vectors(self) -> int:
        """What the fusion mixes for an entity: structure and all modalities."""
        return 1 + len(self.modalities)

    def to_json(self) -> dict[str, Any]:
        """See FamilyConfig."""
        return further_to_json(super().to_json())

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """See FamilyConfig."""
        further = further_from_json(values.get("further_modalities", []), FeatureModality)
        return super().from_json({**values, "further_modalities": further})

    @property
    def task(self) -> str:
        """What the model does."""
        return LINK_PREDICTION

    @property
    def table_width(self) -> int:
        """Width of an encoded entity and of a query vector: real parts, then imaginary parts."""
        return 2 * self.embedding_dim

    @property
    def candidate_score(self) -> CandidateScore:
        """How a query vector and an encoded entity are scored."""
        return ComplexDistance(self.margin)

    @property
    def protocol(self) -> RankingProtocol:
        """Equal scores do not count (spec section 4)."""
        return RankingProtocol("optimistic")


# The name by which every family's configuration is found.
Config = AdaMFConfig
EMBEDDED_DATA = ("atlas",)
READS_TOKENS = True

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

# Settings by preset; names of AdaMFConfig and TrainingSettings in one flat table (spec section 3.3). The last two are
# ours, for two processor cores: far fewer steps, so a far higher rate, and fewer negatives.
PRESETS: dict[str, dict[str, Any]] = {
    "db15k": {**_PUBLISHED, "embedding_dim": 250, "margin": 12.0},
    "mkg-w": {**_PUBLISHED, "embedding_dim": 200, "margin": 12.0},
    "mkg-y": {**_PUBLISHED, "embedding_dim": 200, "margin": 4.0},
    "cpu": {
        "embedding_dim": 100,
        "margin": 12.0,
        "num_negatives": 64,
        "batch_size": 1024,
        "learning_rate": 1e-3,
        "epochs": 80,
        "max_minutes": 27.0,
        "schedule": "one-cycle",
        "clip_norm": None,
        "validate_every": 80,
    },
    "atlas": {
        "embedding_dim": 64,
        "margin": 2.0,
        "num_negatives": 64,
        "adversarial_temperature": 1.0,
        "batch_size": 256,
        "learning_rate": 3e-3,
        "epochs": 80,
        "schedule": "one-cycle",
        "clip_norm": None,
        "validate_every": 20,
        "threads": 1,
    },
    "emoji": {
        "embedding_dim": 64,
        "margin": 2.0,
        # As good on known pictures, and far better on new ones (docs/results.md).
        "train_features": False,
        "num_negatives": 64,
        "adversarial_temperature": 1.0,
        "batch_size": 256,
        "learning_rate": 3e-3,
        "epochs": 40,
        "schedule": "one-cycle",
        "clip_norm": None,
        "validate_every": 20,
        "threads": 1,
    },
}
