"""Sizes and settings of an MKGformer model, and the published presets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

from ...bundle.config import FamilyConfig
from ...errors import DataError
from ...ranking.exact import RankingProtocol
from ...ranking.scores import CandidateScore, InnerProduct
from ...registry import ENTITY_RECOGNITION, LINK_PREDICTION, RELATION_EXTRACTION

Task = Literal["link-prediction", "relation-extraction", "entity-recognition"]

# Rows of the two position tables of the sentence tasks: so many patches their images must give.
AUX_POSITIONS, RCNN_POSITIONS = 48, 12
# <s>, </s>, <o>, </o>: tokens that relation extraction adds to the vocabulary, in this order.
NUM_MARKERS = 4
# Values of `tokenizer` that are no place.
LEARNED, NO_TOKENIZER = "learned", "none"

# What each task must state, and the others must not.
_TASK_SIZES = {
    LINK_PREDICTION: ("num_entities", "num_relations"),
    RELATION_EXTRACTION: ("num_labels",),
    ENTITY_RECOGNITION: ("num_labels",),
}
_CHOICES: dict[str, tuple[Any, ...]] = {
    "task": tuple(_TASK_SIZES),
    "loss": ("bce", "cross-entropy"),
    "stage": (1, 2),
    "mask_prefix": (False, True),
    "state_dtype": ("float32", "float16"),
    "whole_as_crop": (False, True),
}


@dataclass(frozen=True)
class MKGformerConfig(FamilyConfig):
    """Every size that builds the model, what its inputs look like, and the settings of its objective.

    Attributes:
        task: what the model does; the data decide it.
        base_vocabulary_size: word pieces before a task adds its tokens.
        mask_token_id: of [MASK]; read by link prediction only.
        num_entities, num_relations: link prediction only, None elsewhere: each is a token of its own.
        num_labels: relations of relation extraction, tags (padding included) of entity recognition; None elsewhere.
        hidden_dim: width of both towers.
        num_layers, num_heads: layers of each tower, and attention heads of each layer.
        text_feedforward_dim, vision_feedforward_dim: width inside the feed-forward layers of each tower.
        num_positions: word pieces that the text tower has room for.
        num_token_types: kinds of word pieces that the text tower tells apart.
        max_length: word pieces after truncation. A row's outputs depend on how far it is padded (spec, quirk 3):
            relation extraction and entity recognition always pad to this, link prediction to the longest of a batch.
        image_size, aux_image_size, rcnn_image_size: side of the whole image and of the images of each group, in pixels.
        patch_size: side of the patches that the vision tower sees, in pixels.
        num_aux_images, num_rcnn_images: images per group; None = the group is absent.
        fusion_start_layer: from this layer on, counted from 0, the towers see each other.
        mask_prefix: hide padded text from the vision tower too. Not what the authors did; changes the outputs.
        dropout, attention_dropout: of the text tower; the former before the tagger's classifier, too.
        stage: of link prediction. 1 trains the word table alone to tell entities from descriptions, 2 everything.
        loss: of link prediction, over all entities.
        label_smoothing: of "cross-entropy".
        crf_learning_rate: highest rate of the tagger's classifier and CRF.
        tokenizer: a vocab.txt (also .xz or .gz), a tokenizer.json, or a folder with one of them; "learned" learns one
            from the training texts, and "none" is for checkpoints whose inputs are token ids.
        learned_vocabulary_size: word pieces that are learned at the most.
        pretrained_text, pretrained_vision: the BERT and the CLIP that training begins with: folders that transformers
            wrote or names on the Hugging Face hub; empty for random weights.
        state_dtype: in which a link prediction bundle keeps its image states; export sets it to that of the precision
            asked for.
        whole_as_crop: of the sentence tasks: an image that comes without crops of it is its own first crop in both
            groups. The authors' code does not see such an image.
    """

    task: Task
    base_vocabulary_size: int = 30522
    mask_token_id: int = 103
    num_entities: int | None = None
    num_relations: int | None = None
    num_labels: int | None = None
    hidden_dim: int = 768
    num_layers: int = 12
    num_heads: int = 12
    text_feedforward_dim: int = 3072
    vision_feedforward_dim: int = 3072
    num_positions: int = 512
    num_token_types: int = 2
    max_length: int = 64
    image_size: int = 224
    patch_size: int = 32
    aux_image_size: int = 128
    num_aux_images: int | None = 3
    rcnn_image_size: int = 64
    num_rcnn_images: int | None = 3
    fusion_start_layer: int = 8
    mask_prefix: bool = False
    dropout: float = 0.1
    attention_dropout: float = 0.1
    stage: int = 2
    loss: Literal["bce", "cross-entropy"] = "bce"
    label_smoothing: float = 0.0
    crf_learning_rate: float = 5e-2
    tokenizer: str = LEARNED
    learned_vocabulary_size: int = 30522
    pretrained_text: str = ""
    pretrained_vision: str = ""
    state_dtype: Literal["float32", "float16"] = "float32"
    whole_as_crop: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise DataError(f"{name} is {getattr(self, name)!r}; expected {' or '.join(map(repr, choices))}.")
        self._check_counts()
        for name in ("dropout", "attention_dropout", "label_smoothing"):
            if not getattr(self, name) < 1:
                raise DataError(f"{name} is {getattr(self, name)!r}; expected a share in [0, 1).")
        for size, part in (
            ("hidden_dim", "num_heads"),
            ("image_size", "patch_size"),
            ("aux_image_size", "patch_size"),
            ("rcnn_image_size", "patch_size"),
        ):
            if getattr(self, size) % getattr(self, part):
                raise DataError(
                    f"{size} {getattr(self, size)} is not a multiple of {part} {getattr(self, part)}; change one."
                )
        if self.max_length > self.num_positions:
            raise DataError(
                f"max_length is {self.max_length}, but the text tower has {self.num_positions} positions; expected at "
                "most as many."
            )
        self._check_patches()
        for name in ("tokenizer", "pretrained_text", "pretrained_vision"):
            if not isinstance(getattr(self, name), str):
                raise DataError(f"{name} is {getattr(self, name)!r}; expected a folder, a file or a name.")

    def in_precision(self, precision: str) -> Self:
        """Bundles in half precision keep image states in it, too: float16, which has more digits than bfloat16.

        Of the files and folders that a training began with, a bundle keeps the last name only.
        """
        return replace(
            self,
            tokenizer=Path(self.tokenizer).name,
            pretrained_text=Path(self.pretrained_text).name,
            pretrained_vision=Path(self.pretrained_vision).name,
            state_dtype="float32" if precision == "fp32" else "float16",
        )

    def _check_counts(self) -> None:
        """Optional counts are at least 1; those of the task are there, those of other tasks are not."""
        for name in ("num_aux_images", "num_rcnn_images", "num_entities", "num_relations", "num_labels"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise DataError(f"{name} is {value!r}; expected a whole number of at least 1, or None.")
        needed = _TASK_SIZES[self.task]
        for name in ("num_entities", "num_relations", "num_labels"):
            if (getattr(self, name) is not None) != (name in needed):
                expected = "a whole number of at least 1" if name in needed else "None"
                raise DataError(f"{name} is {getattr(self, name)!r}; for {self.task} expected {expected}.")

    def _check_patches(self) -> None:
        """The two position tables of the sentence tasks have a fixed number of rows."""
        if self.task == LINK_PREDICTION:
            return
        groups = (("aux", self.aux_patches, AUX_POSITIONS), ("rcnn", self.rcnn_patches, RCNN_POSITIONS))
        for group, found, rows in groups:
            if found not in (0, rows):
                raise DataError(
                    f"num_{group}_images and {group}_image_size make {found} patches of {self.patch_size} pixels; "
                    f"{self.task} has positions for exactly {rows}."
                )

    @property
    def vocabulary_size(self) -> int:
        """Rows of the word table: word pieces, then entities and relations, or markers (spec 6.2, 7)."""
        if self.num_entities is not None and self.num_relations is not None:
            return self.base_vocabulary_size + self.num_entities + self.num_relations
        return self.base_vocabulary_size + (NUM_MARKERS if self.task == RELATION_EXTRACTION else 0)

    @property
    def table_width(self) -> int:
        """Width of an encoded entity and of a query vector: the row of the word table and the bias."""
        return self.hidden_dim + 1

    @property
    def candidate_score(self) -> CandidateScore:
        """How a query vector and an encoded entity are scored."""
        return InnerProduct()

    @property
    def protocol(self) -> RankingProtocol:
        """A stable sort; other known answers lose 100 points (spec 6.7)."""
        return RankingProtocol("stable", 100.0)

    @property
    def aux_patches(self) -> int:
        """Patches of all auxiliary images together."""
        return (self.num_aux_images or 0) * (self.aux_image_size // self.patch_size) ** 2

    @property
    def rcnn_patches(self) -> int:
        """Patches of all detector crops together."""
        return (self.num_rcnn_images or 0) * (self.rcnn_image_size // self.patch_size) ** 2

    @property
    def visual_tokens(self) -> int:
        """Tokens of the vision tower: the main image's patches, or the class token, and those of the other groups."""
        main = (self.image_size // self.patch_size) ** 2 if self.task == LINK_PREDICTION else 1
        return main + self.aux_patches + self.rcnn_patches


# The name by which every family's configuration is found.
Config = MKGformerConfig
EMBEDDED_DATA = ("atlas", "atlas-relations", "atlas-tags")
READS_TOKENS = False

# What the published trainings have in common (spec 6.8, 7, 8).
_PUBLISHED: dict[str, Any] = {
    "optimizer": "adamw",
    "epsilon": 1e-8,
    "weight_decay": 0.01,
    "schedule": "linear",
    "clip_norm": None,
    "validate_every": 1,
}
_LINKS: dict[str, Any] = {**_PUBLISHED, "task": LINK_PREDICTION, "warm_up": 0.1, "patience": 5, "seed": 7}
_STAGE_1: dict[str, Any] = {**_LINKS, "stage": 1, "loss": "cross-entropy", "label_smoothing": 0.1}
_STAGE_2: dict[str, Any] = {**_LINKS, "stage": 2, "loss": "bce"}

# Ours, for two processor cores: both towers trained from nothing on images of 32 pixels.
_TINY: dict[str, Any] = {
    "hidden_dim": 64,
    "num_layers": 4,
    "num_heads": 4,
    "text_feedforward_dim": 128,
    "vision_feedforward_dim": 128,
    "num_positions": 64,
    "patch_size": 8,
    "image_size": 32,
    "aux_image_size": 32,
    "rcnn_image_size": 16,
    "fusion_start_layer": 2,
    "optimizer": "adamw",
    "learning_rate": 1e-3,
    "weight_decay": 0.01,
    "schedule": "linear",
    "warm_up": 0.1,
    "clip_norm": 1.0,
    "validate_every": 5,
    "threads": 1,
}

# One flag of 32 x 32 pixels in four patches. With 1,400 triples "cross-entropy" learns faster than "bce".
_ATLAS: dict[str, Any] = {
    **_TINY,
    "task": LINK_PREDICTION,
    "loss": "cross-entropy",
    "hidden_dim": 48,
    "num_layers": 2,
    "fusion_start_layer": 1,
    "text_feedforward_dim": 96,
    "vision_feedforward_dim": 96,
    "max_length": 20,
    "patch_size": 16,
    "num_aux_images": None,
    "num_rcnn_images": None,
    "batch_size": 128,
}

# The sentences of the atlas need less: two layers, the upper one fused, and one group of images, for a flag has no
# parts to look at.
_SENTENCES: dict[str, Any] = {
    **_TINY,
    "num_layers": 2,
    "text_feedforward_dim": 96,
    "vision_feedforward_dim": 96,
    "fusion_start_layer": 1,
    "learned_vocabulary_size": 2500,
    "max_length": 32,
    "num_aux_images": None,
    "whole_as_crop": True,
    "learning_rate": 2e-3,
    "batch_size": 32,
    "validate_every": 2,
}

# Settings by preset; names of MKGformerConfig and TrainingSettings in one flat table. A stage 2 starts from the weights
# of its stage 1.
PRESETS: dict[str, dict[str, Any]] = {
    "fb15k-237-stage-1": {**_STAGE_1, "learning_rate": 5e-4, "batch_size": 64, "epochs": 15, "max_length": 64},
    "fb15k-237": {**_STAGE_2, "learning_rate": 4e-5, "batch_size": 96, "epochs": 12, "max_length": 64},
    "wn18-stage-1": {
        **_STAGE_1,
        "learning_rate": 7e-5,
        "batch_size": 128,
        "epochs": 30,
        "max_length": 32,
        "validate_every": 10,
        "precision": "fp16",
    },
    "wn18": {
        **_STAGE_2,
        "learning_rate": 5e-5,
        "batch_size": 128,
        "epochs": 31,
        "max_length": 32,
        "validate_every": 3,
        "precision": "fp16",
    },
    "mnre": {
        **_PUBLISHED,
        "task": RELATION_EXTRACTION,
        "learning_rate": 1e-5,
        "batch_size": 32,
        "epochs": 12,
        "max_length": 80,
        "warm_up": 0.06,
        "seed": 1234,
    },
    "twitter-2017": {
        **_PUBLISHED,
        "task": ENTITY_RECOGNITION,
        "learning_rate": 3e-5,
        "crf_learning_rate": 5e-2,
        "batch_size": 16,
        "epochs": 30,
        "max_length": 128,
        "warm_up": 0.01,
        "seed": 1234,
    },
    "atlas-stage-1": {**_ATLAS, "stage": 1, "learning_rate": 1e-2, "epochs": 10, "validate_every": 10},
    "atlas": {
        **_ATLAS,
        "label_smoothing": 0.1,
        "dropout": 0.2,
        "learning_rate": 8e-3,
        "weight_decay": 0.3,
        "epochs": 20,
    },
    "atlas-relations": {**_SENTENCES, "task": RELATION_EXTRACTION, "max_length": 40, "epochs": 8},
    "atlas-tags": {
        **_SENTENCES,
        "task": ENTITY_RECOGNITION,
        "crf_learning_rate": 1e-2,
        "learned_vocabulary_size": 4000,
        "epochs": 5,
    },
}
PRESETS["emoji"] = {**PRESETS["atlas"], "epochs": 15, "validate_every": 5}
