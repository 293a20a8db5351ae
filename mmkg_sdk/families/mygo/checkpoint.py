"""Official MyGO checkpoints: what is in them, and what they leave to the data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..checkpoint_file import read_state
from ..official import compare_state, finite_tensors, renamed_settings, tensor_shape
from .config import MyGOConfig

if TYPE_CHECKING:
    from torch import Tensor

# Tensors of the official model that its forward pass never reads (spec 1.2).
_UNUSED = re.compile(r"^(rel_encoder\.|rel_token$|pos_(str|vis|txt)_rel$)|\.num_batches_tracked$")

# What no tensor tells, and the published values; a wrong one gives wrong answers without any error.
UNTOLD_SETTINGS = {
    "num_heads": "2 for DB15K, 4 for MKG-W",
    "num_visual_tokens": "8 for DB15K and MKG-W",
    "num_text_tokens": "4 for DB15K, 8 for MKG-W",
}


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The used tensors of an official checkpoint, by official name.

    Loading is tensor-only: a file that carries code is refused, never run.

    Raises:
        ExportError: if the file is missing, no checkpoint, of another family, or holds NaN or infinity.
    """
    return finite_tensors(_used(read_state(path)), path)


def config_from_checkpoint(state: dict[str, Tensor], **settings: Any) -> MyGOConfig:
    """The configuration that fits a checkpoint: sizes from its tensors, the rest (num_heads, ...) from `settings`.

    Raises:
        ExportError: if a tensor that tells a size is missing or has another rank.
    """

    def shape(name: str, rank: int) -> tuple[int, ...]:
        return tensor_shape(state, name, rank, "MyGO")

    def layers(stack: str) -> int:
        return len({name.split(".")[2] for name in state if name.startswith(f"{stack}.layers.")})

    visual, text = shape("visual_token_embedding.weight", 2), shape("text_token_embedding.weight", 2)
    entities, _, width = shape("ent_embeddings", 3)
    return MyGOConfig(
        num_entities=entities,
        num_relations=shape("rel_embeddings", 3)[0],
        visual_codebook_rows=visual[0],
        visual_codebook_width=visual[1],
        text_codebook_rows=text[0],
        text_codebook_width=text[1],
        embedding_dim=width,
        feedforward_dim=shape("ent_encoder.layers.0.linear1.weight", 2)[0],
        num_entity_layers=layers("ent_encoder"),
        num_decoder_layers=layers("decoder"),
        score_function="tucker" if any(name.startswith("tucker_decoder.") for name in state) else "inner",
        **settings,
    )


def check_state(state: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Compare names and shapes with those of a model; names the first differences.

    Raises:
        ExportError: if a tensor is missing, unknown or has another shape.
    """
    compare_state(_used(state), _used(expected))


def _used(state: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tensor for name, tensor in state.items() if not _UNUSED.search(name)}


# The authors' option names -> ours; sizes are read from the tensors instead.
_OFFICIAL_SETTINGS = {
    "num_head": "num_heads",
    "num_vis_token": "num_visual_tokens",
    "num_txt_token": "num_text_tokens",
    "emb_dropout": "structure_dropout",
    "vis_dropout": "visual_dropout",
    "txt_dropout": "text_dropout",
    "dropout": "dropout",
    "mu": "contrastive_weight",
    "con_temp": "contrastive_temperature",
    "num_con": "contrastive_samples",
    "smoothing": "label_smoothing",
}


def official_settings(options: dict[str, Any]) -> dict[str, Any]:
    """The settings of MyGOConfig among the authors' options, renamed; other options are sizes or schedules."""
    return renamed_settings(options, _OFFICIAL_SETTINGS)
