"""What the runtime must know of MKGformer, without torch. Link prediction and the sentence tasks each have a file."""

from __future__ import annotations

from types import ModuleType

from ...bundle import Bundle
from ...bundle.contents import Contents
from ...registry import ENTITY_RECOGNITION, LINK_PREDICTION, RELATION_EXTRACTION
from .config import MKGformerConfig
from .links import runtime as link_runtime
from .links.runtime import (
    SHOWS_IMAGES,
    bundle_entities,
    encoder_graph,
    entity_batch,
    explained,
    explained_query,
    image_inputs,
    new_entities,
    query_batches,
    stand_ins,
)
from .sentences import runtime as sentence_runtime
from .sentences.runtime import (
    cut_relation_texts,
    found_in_images,
    marker_positions,
    noise_texts,
    open_tokenizer,
    read_crops,
    relation_texts,
    seen_images,
    spans_read,
    tagging_texts,
)
from .texts.preparation import tag_labels

__all__ = [
    "SHOWS_IMAGES",
    "bundle_entities",
    "check_bundle",
    "contents",
    "cut_relation_texts",
    "encoder_graph",
    "entity_batch",
    "explained",
    "explained_query",
    "found_in_images",
    "image_inputs",
    "marker_positions",
    "new_entities",
    "noise_texts",
    "open_tokenizer",
    "query_batches",
    "read_crops",
    "relation_texts",
    "seen_images",
    "spans_read",
    "stand_ins",
    "tag_labels",
    "tagging_texts",
    "weight_shapes",
]


def contents(config: MKGformerConfig) -> Contents:
    """What the bundle of this configuration holds."""
    found: Contents = _part(config).contents(config)
    return found


def weight_shapes(config: MKGformerConfig) -> dict[str, tuple[int, ...]]:
    """The shapes of those weights that tell the sizes of the model."""
    width, hidden = config.hidden_dim, "hidden.multiplied_weight"
    graph = contents(config).graphs[0]
    towers = f"{graph}.towers"
    shapes: dict[str, tuple[int, ...]] = {
        "image_encoder.multiplied_patches": (3 * config.patch_size**2, width),
        f"{towers}.embeddings.multiplied_words": (config.vocabulary_size, width),
        f"{towers}.embeddings.positions": (config.max_length, width),
        f"{towers}.text_layers.{config.num_layers - 1}.{hidden}": (width, config.text_feedforward_dim),
        f"image_encoder.layers.0.{hidden}": (width, config.vision_feedforward_dim),
    }
    if config.task != LINK_PREDICTION:
        assert config.num_labels is not None
        classes = {RELATION_EXTRACTION: ("classifier", 2 * width), ENTITY_RECOGNITION: ("fc", width)}
        name, read = classes[config.task]
        shapes[f"{graph}.{name}.multiplied_weight"] = (read, config.num_labels)
        shapes[f"{towers}.embeddings.types"] = (config.num_token_types, width)
    return shapes


def check_bundle(bundle: Bundle) -> None:
    """What shapes and dtypes do not tell.

    Raises:
        BundleError: something is not as it should be.
    """
    _part(MKGformerConfig.of(bundle.config)).check_bundle(bundle)


def _part(config: MKGformerConfig) -> ModuleType:
    return link_runtime if config.task == LINK_PREDICTION else sentence_runtime
