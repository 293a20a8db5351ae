"""Sizes of a MIMIC model, and the published presets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

from ...bundle.config import FamilyConfig
from ...errors import DataError
from ...registry import ENTITY_LINKING

# The same in every CLIP that MIMIC was published with; no tensor tells them.
ACTIVATION = "quick_gelu"
NORM_EPS = 1e-5
# What scores a mention with an entity: TGLU, VDLU and CMFU.
UNITS = ("text", "image", "image_text")
# Values of `tokenizer` that are no place.
LEARNED, NO_TOKENIZER = "learned", "none"


@dataclass(frozen=True)
class MimicConfig(FamilyConfig):
    """Every size that builds the model; the defaults are those of CLIP ViT-B/32 and the published units.

    Both modalities reach the units as they come: text as `text_width` numbers, images as `image_feature_dim`.

    Attributes:
        vocabulary_size: tokens that the text tower knows.
        text_length: tokens to which texts are padded and cut, in training and afterwards: the text unit looks at the
            padding too, so another length gives other scores.
        text_positions: tokens that the text tower has room for.
        text_width: of the text tower and of CLIP's joint space (`dt` in the authors' scripts).
        text_feedforward_dim, image_feedforward_dim: width inside the feed-forward layers of each tower.
        num_text_layers, num_image_layers: of each tower.
        num_text_heads, num_image_heads: attention heads of each tower.
        image_size: side of the images, in pixels.
        patch_size: side of the patches that the image tower sees, in pixels.
        image_width: of the image tower.
        image_feature_dim: width in which images reach the units (`dv` in the authors' scripts).
        text_unit_dim, image_unit_dim, cross_modal_unit_dim: widths of the units: TGLU, VDLU and CMFU.
        without_unit: the one of `UNITS` that says 0 of every pair, in training and afterwards; empty: all three speak
            (official). It tells what a unit is worth.
        pretrained_clip: the CLIP that training begins with: a folder that transformers wrote or a name on the Hugging
            Face hub; empty for random weights. It decides all sizes of CLIP.
        tokenizer: a tokenizer.json, a list of merges such as bpe_simple_vocab_16e6.txt.gz, or again a folder or a name;
            "learned" learns at most `vocabulary_size` tokens from the training data, and "none" is for checkpoints
            whose inputs are token ids.
        entity_dtype: in which a bundle keeps what is known of its entities; export sets it to that of the precision
            asked for.
    """

    vocabulary_size: int = 49408
    text_length: int = 40
    text_positions: int = 77
    text_width: int = 512
    text_feedforward_dim: int = 2048
    num_text_layers: int = 12
    num_text_heads: int = 8
    image_size: int = 224
    patch_size: int = 32
    image_width: int = 768
    image_feedforward_dim: int = 3072
    num_image_layers: int = 12
    num_image_heads: int = 12
    image_feature_dim: int = 96
    text_unit_dim: int = 96
    image_unit_dim: int = 96
    cross_modal_unit_dim: int = 96
    without_unit: str = ""
    pretrained_clip: str = ""
    tokenizer: str = LEARNED
    entity_dtype: Literal["float32", "float16"] = "float32"

    def __post_init__(self) -> None:
        super().__post_init__()
        for size, part in (
            ("text_width", "num_text_heads"),
            ("image_width", "num_image_heads"),
            ("image_size", "patch_size"),
        ):
            if getattr(self, size) % getattr(self, part):
                raise DataError(
                    f"{size} {getattr(self, size)} is not a multiple of {part} {getattr(self, part)}; change one."
                )
        if self.text_length > self.text_positions:
            raise DataError(
                f"text_length is {self.text_length}, but CLIP's text tower has {self.text_positions} positions; "
                "expected at most as many."
            )
        if self.without_unit not in ("", *UNITS):
            raise DataError(f"without_unit is {self.without_unit!r:.80}; expected '', 'text', 'image' or 'image_text'.")
        for name in ("pretrained_clip", "tokenizer"):
            if not isinstance(getattr(self, name), str):
                raise DataError(f"{name} is {getattr(self, name)!r}; expected a folder, a file or a name.")
        if self.entity_dtype not in ("float32", "float16"):
            raise DataError(f"entity_dtype is {self.entity_dtype!r}; expected 'float32' or 'float16'.")

    @property
    def task(self) -> str:
        """What the model does."""
        return ENTITY_LINKING

    def in_precision(self, precision: str) -> Self:
        """Bundles in half precision keep the entities in it, too: float16, which has more digits than bfloat16.

        Of the folders that a training took files from, a bundle keeps the last name only.
        """
        return replace(
            self,
            pretrained_clip=Path(self.pretrained_clip).name,
            tokenizer=Path(self.tokenizer).name,
            entity_dtype="float32" if precision == "fp32" else "float16",
        )

    @property
    def num_image_tokens(self) -> int:
        """The class token and one token per patch."""
        return 1 + (self.image_size // self.patch_size) ** 2


# The name by which every family's configuration is found.
Config = MimicConfig
EMBEDDED_DATA = ("atlas-mentions",)
READS_TOKENS = False


def clip_sizes(text: Mapping[str, Any], vision: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of MimicConfig that describe a CLIP, from its two tower configurations in Hugging Face's words.

    Raises:
        DataError: it is a CLIP with another activation or norm than those MIMIC uses.
    """
    for tower, options in (("text", text), ("vision", vision)):
        found = (options.get("hidden_act", ACTIVATION), options.get("layer_norm_eps", NORM_EPS))
        if found != (ACTIVATION, NORM_EPS):
            raise DataError(
                f"CLIP's {tower} tower has activation {found[0]!r} and layer norm epsilon {found[1]!r}; MIMIC uses "
                f"{ACTIVATION!r} and {NORM_EPS!r}. Pass one of OpenAI's CLIP models."
            )
    names = {
        "hidden_size": "{}_width",
        "intermediate_size": "{}_feedforward_dim",
        "num_hidden_layers": "num_{}_layers",
        "num_attention_heads": "num_{}_heads",
    }
    sizes = {ours.format("text"): text[theirs] for theirs, ours in names.items() if theirs in text}
    sizes |= {ours.format("image"): vision[theirs] for theirs, ours in names.items() if theirs in vision}
    extra = {"vocab_size": "vocabulary_size", "max_position_embeddings": "text_positions"}
    sizes |= {ours: text[theirs] for theirs, ours in extra.items() if theirs in text}
    return sizes | {name: vision[name] for name in ("image_size", "patch_size") if name in vision}


# What the three published trainings have in common (spec section 5).
_PUBLISHED: dict[str, Any] = {
    "text_length": 40,
    "batch_size": 128,
    "learning_rate": 1e-5,
    "optimizer": "adamw",
    "epsilon": 1e-4,
    "weight_decay": 1e-4,
    "epochs": 20,
    "schedule": "constant",
    "clip_norm": None,
    "validate_every": 2,
    "patience": 3,
    "seed": 43,
}

# Settings by preset; names of MimicConfig and TrainingSettings in one flat table. "atlas" is ours: a CLIP small enough
# to be trained from nothing on two processor cores. Its large vocabulary keeps names whole: with 1,024 tokens it told
# namesakes apart less often.
PRESETS: dict[str, dict[str, Any]] = {
    "wikimel": dict(_PUBLISHED),
    "richpediamel": dict(_PUBLISHED),
    "wikidiverse": dict(_PUBLISHED),
    "atlas": {
        "vocabulary_size": 4096,
        "text_length": 28,
        "text_width": 64,
        "text_feedforward_dim": 128,
        "num_text_layers": 1,
        "num_text_heads": 2,
        "image_size": 32,
        "patch_size": 8,
        "image_width": 32,
        "image_feedforward_dim": 64,
        "num_image_layers": 1,
        "num_image_heads": 2,
        "image_feature_dim": 32,
        "text_unit_dim": 32,
        "image_unit_dim": 32,
        "cross_modal_unit_dim": 32,
        # Wrong answers are those of the batch's other mentions: in a large one there are namesakes among them.
        "batch_size": 96,
        "learning_rate": 3e-3,
        "optimizer": "adamw",
        "epochs": 14,
        "schedule": "one-cycle",
        "clip_norm": 1.0,
        "validate_every": 14,
        "threads": 1,
    },
}
# Small pictures of one thing each, and few words. A small tower that begins at random hardly learns where in a picture
# a patch lies. With one patch that is the whole picture it tells pictures apart, sooner and better.
PRESETS["emoji-linking"] = {
    **PRESETS["atlas"],
    "text_length": 16,
    "patch_size": 32,
    "image_width": 64,
    "image_feature_dim": 64,
    "image_unit_dim": 64,
    "batch_size": 64,
    "epochs": 8,
    "validate_every": 4,
}
