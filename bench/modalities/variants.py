"""Trainings that are compared: of each family one that has everything, and others that lack or change one thing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Variant:
    """A way to train.

    Attributes:
        settings: of `mmkg-sdk train --set`, beyond the preset.
        dropped: of `--drop-modality`: modality -> share of the entities without it.
        pictures: of each entity, the first by name; None takes all.
        image_model: what makes tokens of pictures, for families that read tokens.
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    dropped: Mapping[str, float] = field(default_factory=dict)
    pictures: int | None = None
    image_model: str = "learned-views"


REFERENCE = "image and text"
_ABLATIONS = (
    Variant(REFERENCE),
    Variant("text", dropped={"image": 1.0}),
    Variant("image", dropped={"text": 1.0}),
    Variant("neither", dropped={"image": 1.0, "text": 1.0}),
)
_PICTURES = (
    Variant("1 picture", pictures=1),
    Variant("2 pictures", pictures=2),
    Variant("patches", image_model="learned"),
)

# The first is what the others are compared to.
VARIANTS: dict[str, tuple[Variant, ...]] = {
    "mygo": (
        *_ABLATIONS,
        *_PICTURES,
        Variant("modality dropout", {"modality_dropout": 0.1}),
        Variant("2 of image, 8 of text", {"num_visual_tokens": 2}),
        Variant("16 of image, 8 of text", {"num_visual_tokens": 16}),
        Variant("8 of image, 2 of text", {"num_text_tokens": 2}),
    ),
    "adamf_mat": (
        *_ABLATIONS,
        *_PICTURES,
        Variant("adversary", {"adversarial_weight": 0.01}),
        Variant("features trained", {"train_features": True}),
        Variant("structure alone", {"missing_modalities": "mask"}, {"image": 1.0, "text": 1.0}),
    ),
    "mimic": (
        *_ABLATIONS[:3],
        Variant("without TGLU", {"without_unit": "text"}),
        Variant("without VDLU", {"without_unit": "image"}),
        Variant("without CMFU", {"without_unit": "image_text"}),
        Variant("patches of 8 x 8", {"patch_size": 8}),
    ),
    # Without prefix and fusion nothing of the pictures reaches the text tower; as many layers as the presets have.
    "mkgformer": (*_ABLATIONS[:2], Variant("towers apart", {"fusion_start_layer": 2})),
}
