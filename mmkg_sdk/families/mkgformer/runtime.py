"""What the runtime must know of MKGformer, without torch. Link prediction and the sentence tasks each have a file."""

from __future__ import annotations

from types import ModuleType

from ...bundle import Bundle
from ...bundle.contents import Contents
from ...registry import LINK_PREDICTION
from .config import MKGformerConfig
from .links import runtime as link_runtime
from .links.runtime import SHOWS_IMAGES, bundle_entities, encoder_graph, entity_batch, query_batches, stand_ins
from .sentences import runtime as sentence_runtime
from .sentences.runtime import (
    marker_positions,
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
    "encoder_graph",
    "entity_batch",
    "marker_positions",
    "open_tokenizer",
    "query_batches",
    "read_crops",
    "relation_texts",
    "seen_images",
    "spans_read",
    "stand_ins",
    "tag_labels",
    "tagging_texts",
]


def contents(config: MKGformerConfig) -> Contents:
    """What the bundle of this configuration holds."""
    found: Contents = _part(config).contents(config)
    return found


def check_bundle(bundle: Bundle) -> None:
    """What shapes and dtypes do not tell.

    Raises:
        BundleError: something is not as it should be.
    """
    _part(MKGformerConfig.of(bundle.config)).check_bundle(bundle)


def _part(config: MKGformerConfig) -> ModuleType:
    return link_runtime if config.task == LINK_PREDICTION else sentence_runtime
