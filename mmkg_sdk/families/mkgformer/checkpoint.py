"""Official MKGformer checkpoints: what is in them, and what they leave to the settings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import ExportError
from ...registry import ENTITY_RECOGNITION, LINK_PREDICTION, RELATION_EXTRACTION
from ..checkpoint_file import read_state
from ..official import compare_state, finite_tensors, renamed_settings, tensor_shape
from .config import LEARNED, NO_TOKENIZER, NUM_MARKERS, MKGformerConfig

if TYPE_CHECKING:
    from torch import Tensor

# Where each task's model has its encoder, and the part of a name that only this task has.
_ENCODER = {LINK_PREDICTION: "model.unimo.", RELATION_EXTRACTION: "model.", ENTITY_RECOGNITION: "model."}
_MARKS = {"cls.predictions.": LINK_PREDICTION, "classifier.": RELATION_EXTRACTION, "crf.": ENTITY_RECOGNITION}
# One tensor under two names; a file may hold either or both.
_HEAD = "model.cls.predictions."
_WORDS = "text_embeddings.word_embeddings.weight"
_TIED = ((f"model.unimo.{_WORDS}", f"{_HEAD}decoder.weight"), (f"{_HEAD}bias", f"{_HEAD}decoder.bias"))
# Numbers 0, 1, 2, ...: some versions of the authors' libraries save them, others do not.
_COUNTED = "position_ids"

# What no tensor tells. What has no published value is asked for below, where the task is known.
UNTOLD_SETTINGS: dict[str, str] = {}
_PUBLISHED_WIDTH, _PUBLISHED_HEADS = 768, 12
_PUBLISHED_LENGTHS = {LINK_PREDICTION: 64, RELATION_EXTRACTION: 80, ENTITY_RECOGNITION: 128}


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The tensors of an official checkpoint, by official name; link prediction's Lightning file or a state dict.

    No object but tensors, numbers and names is made of what the file holds, and nothing it names is called.

    Raises:
        ExportError: if the file is missing, no checkpoint, of another family, or holds NaN or infinity.
    """
    state = finite_tensors(read_state(path), path)
    return _untied(state, path) if _task(state) == LINK_PREDICTION else state


def _untied(state: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Every tied tensor under both of its names."""
    for names in _TIED:
        present = [state[name] for name in names if name in state]
        if len(present) == 2 and not present[0].equal(present[1]):
            raise ExportError(f"{path}: {names[0]} and {names[1]} differ; they are one tensor in the model.")
        state |= dict.fromkeys(names, present[0]) if present else {}
    return state


def _task(state: Mapping[str, Tensor]) -> str:
    """Which task a checkpoint is for, by its names."""
    found = {task for mark, task in _MARKS.items() if any(mark in name for name in state)}
    if len(found) != 1:
        marks = ", ".join(f"{mark}* ({task})" for mark, task in _MARKS.items())
        raise ExportError(f"not a checkpoint of MKGformer: expected tensors of exactly one head: {marks}.")
    return found.pop()


def config_from_checkpoint(state: dict[str, Tensor], **settings: Any) -> MKGformerConfig:
    """The configuration that fits a checkpoint: task and sizes from its tensors, the rest from `settings`.

    Without settings: 12 heads at the published width, fusion from layer 8 on, the published lengths and images, no
    tokenizer.
    Link prediction needs `num_entities` or `num_relations`: both lie behind the word pieces in one table.

    Raises:
        ExportError: if a tensor that tells a size is missing or has another rank, a size cannot be known, or the
            tokenizer is to be learned.
    """
    task = _task(state)
    prefix = _ENCODER[task]

    def shape(name: str, rank: int = 2) -> tuple[int, ...]:
        return tensor_shape(state, name, rank, "MKGformer")

    def encoder(name: str, rank: int = 2) -> tuple[int, ...]:
        return shape(prefix + name, rank)

    rows, width = encoder(_WORDS)
    positions = encoder("text_embeddings.position_embeddings.weight")[0]
    patch_size = encoder("vision_embeddings.patch_embedding.weight", 4)[-1]
    image_tokens = encoder("vision_embeddings.position_embedding.weight")[0]
    patches_per_side = math.isqrt(max(0, image_tokens - 1))
    if image_tokens != patches_per_side**2 + 1:
        raise ExportError(
            f"the checkpoint's vision tower has {image_tokens} positions; expected a square number of patches and 1."
        )
    first = f"{prefix}encoder.text_layer."
    sizes: dict[str, Any] = {
        "task": task,
        "hidden_dim": width,
        "num_layers": len({name.removeprefix(first).split(".")[0] for name in state if name.startswith(first)}),
        "text_feedforward_dim": encoder("encoder.text_layer.0.intermediate.dense.weight")[0],
        "vision_feedforward_dim": encoder("encoder.vision_layers.0.mlp.fc1.weight")[0],
        "num_positions": positions,
        "num_token_types": encoder("text_embeddings.token_type_embeddings.weight")[0],
        "patch_size": patch_size,
        "image_size": patches_per_side * patch_size,
    }
    if task == LINK_PREDICTION:
        sizes |= _token_counts(rows, settings)
    elif task == RELATION_EXTRACTION:
        sizes |= {"num_labels": shape("classifier.weight")[0], "base_vocabulary_size": rows - NUM_MARKERS}
    else:
        sizes |= {"num_labels": shape("crf.transitions")[0], "base_vocabulary_size": rows}
    if settings.get("tokenizer") == LEARNED:
        raise ExportError("a tokenizer learned from data gives other ids than the checkpoint's. Name that of its BERT.")
    if "num_heads" not in settings:
        if width != _PUBLISHED_WIDTH:
            raise ExportError(
                f"num_heads is in no tensor of a checkpoint, and the width {width} is not the published "
                f"{_PUBLISHED_WIDTH} (with {_PUBLISHED_HEADS}); pass --set num_heads=..."
            )
        sizes["num_heads"] = _PUBLISHED_HEADS
    for name in sizes.keys() & settings.keys():
        if sizes[name] != settings[name]:
            raise ExportError(f"{name} is {sizes[name]} by the checkpoint's tensors, {settings[name]} by the settings.")
    untold = {"max_length": min(positions, _PUBLISHED_LENGTHS[task]), "tokenizer": NO_TOKENIZER}
    return MKGformerConfig(**{**untold, **sizes, **settings})


def _token_counts(rows: int, settings: Mapping[str, Any]) -> dict[str, int]:
    """Word pieces, entities and relations, which share the word table: from two of them, or from one and 30522."""
    counts = {"base_vocabulary_size": MKGformerConfig.base_vocabulary_size}
    names = ("base_vocabulary_size", "num_entities", "num_relations")
    counts |= {name: settings[name] for name in names if name in settings}
    if {"num_entities", "num_relations"} <= settings.keys():
        counts["base_vocabulary_size"] = rows - counts["num_entities"] - counts["num_relations"]
    missing = [name for name in names if name not in counts]
    if len(missing) > 1:
        raise ExportError(
            "num_entities is in no tensor of a checkpoint; pass --set num_entities=... (14951 for FB15k-237, 40943 for "
            "WN18: the lines of the entity text file)."
        )
    for name in missing:
        counts[name] = rows - sum(counts.values())
    if min(counts.values()) < 1 or sum(counts.values()) != rows:
        found = ", ".join(f"{name} {value}" for name, value in counts.items())
        raise ExportError(f"the checkpoint's word table has {rows} rows, which do not divide into {found}.")
    return counts


def check_state(state: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Compare names and shapes with those of a model; names the first differences.

    Raises:
        ExportError: if a tensor is missing, unknown or has another shape. Position numbers may be missing.
    """
    wanted = {name: t for name, t in expected.items() if name in state or not name.endswith(_COUNTED)}
    compare_state(state, wanted)


# The authors' names -> ours, for what no tensor tells.
_OFFICIAL_SETTINGS = {
    "base_vocab_size": "base_vocabulary_size",
    "mask_token_id": "mask_token_id",
    "num_entities": "num_entities",
    "num_relations": "num_relations",
    "max_seq_length": "max_length",
    "aux_image_size": "aux_image_size",
    "num_aux_images": "num_aux_images",
    "rcnn_image_size": "rcnn_image_size",
    "num_rcnn_images": "num_rcnn_images",
    "fusion_start_layer": "fusion_start_layer",
    "label_smoothing": "label_smoothing",
}


def official_settings(options: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of MKGformerConfig among the authors' options, renamed; other options are sizes or schedules."""
    settings = renamed_settings(options, _OFFICIAL_SETTINGS)
    heads = options.get("text_config", {}).get("num_attention_heads")
    if heads is not None:
        settings["num_heads"] = heads
    if "pretrain" in options:
        settings["stage"] = 1 if options["pretrain"] else 2
    if "bce" in options:
        settings["loss"] = "bce" if options["bce"] else "cross-entropy"
    for group in ("aux", "rcnn"):
        count, size = f"num_{group}_images", f"{group}_image_size"
        if any(name in settings and not settings[name] for name in (count, size)):  # 0 or null: the group is absent
            settings[count] = None
            settings.pop(size, None)
    return settings
