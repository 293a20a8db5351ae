"""What the runtime must know of AdaMF, without torch: what a bundle holds, and what its entity encoder may be fed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...bundle import Bundle
from ...bundle.contents import Contents, Stored, link_prediction_contents
from ...errors import QueryError
from ..entity_batch import EntityBatch, as_array, float_rows, structure_rows
from ..query_batches import query_batches
from ..runtimes import LinkStandIns
from .compiled_query import compiled_query
from .config import AdaMFConfig

__all__ = [
    "SHOWS_IMAGES",
    "bundle_entities",
    "check_bundle",
    "contents",
    "encoder_graph",
    "entity_batch",
    "new_entities",
    "query_batches",
    "stand_ins",
    "weight_shapes",
]

SHOWS_IMAGES = False
# Structure, image, text.
_VECTORS = 3


def contents(config: AdaMFConfig) -> Contents:
    """What the bundle of this configuration holds."""
    entities, width = config.num_entities, config.table_width
    return link_prediction_contents(
        entities,
        config.num_relations,
        table={
            "vectors": Stored("float32", (entities, width)),
            "modality_weights": Stored("float32", (entities, _VECTORS)),
        },
        inputs={
            "structure": Stored("float32", (entities, width)),
            "visual_features": Stored("float32", (entities, config.visual_feature_width)),
            "visual_mask": Stored("bool", (entities,)),
            "text_features": Stored("float32", (entities, config.text_feature_width)),
            "text_mask": Stored("bool", (entities,)),
        },
        graphs=("query_encoder", "entity_encoder", "complete"),
    )


def weight_shapes(config: AdaMFConfig) -> dict[str, tuple[int, ...]]:
    """The shapes of those weights that tell the sizes of the model."""
    return {
        "entity_encoder.visual.multiplied_weight": (config.visual_feature_width, config.table_width),
        "entity_encoder.text.multiplied_weight": (config.text_feature_width, config.table_width),
        "query_encoder.rotations": (config.num_relations, config.table_width),
    }


def check_bundle(bundle: Bundle) -> None:
    """Shapes and dtypes tell everything."""


def new_entities(bundle: Bundle) -> EntityBatch:
    """The features of one entity, whole, without image, and without text."""
    visual, text = (np.repeat(bundle.inputs[f"{kind}_features"][:1], 3, axis=0) for kind in ("visual", "text"))
    no_image, no_text = np.array([False, True, False]), np.array([False, False, True])
    return entity_batch(bundle, visual_features=visual, text_features=text, visual_mask=no_image, text_mask=no_text)


def bundle_entities(bundle: Bundle) -> EntityBatch:
    """The inputs of the bundle's own entities."""
    return EntityBatch(dict(bundle.inputs), _VECTORS)


def entity_batch(
    bundle: Bundle,
    *,
    visual_features: NDArray[np.float32] | None = None,
    text_features: NDArray[np.float32] | None = None,
    visual_mask: NDArray[np.bool_] | None = None,
    text_mask: NDArray[np.bool_] | None = None,
    structure: NDArray[np.float32] | None = None,
) -> EntityBatch:
    """Check what a caller gives.

    Args:
        visual_features, text_features: float32 [n, feature width], from the models that made the training features;
            None: no entity has the modality.
        visual_mask, text_mask: bool [n], True = this entity lacks the modality; its row is not looked at.
        structure: the structural embeddings, float32 [n, 2 embedding_dim]. An entity that was not trained has none;
            None takes the mean of the trained ones. (The paper does not treat new entities.)

    A missing modality becomes what the training made of it: zeros, or no share in the fusion.

    Raises:
        QueryError: nothing given, wrong shape or dtype, NaN.
    """
    given = [array for array in (structure, visual_features, text_features) if array is not None]
    if not given:
        raise QueryError("no features given; expected visual_features, text_features or structure, one row per entity.")
    first = as_array("features", given[0])
    count = len(first) if first.ndim else 0
    visual, no_visual = _modality("visual", visual_features, visual_mask, bundle, count)
    text, no_text = _modality("text", text_features, text_mask, bundle, count)
    masked = AdaMFConfig.of(bundle.config).missing_modalities == "mask"
    return EntityBatch(
        {
            "structure": structure_rows(structure, bundle, count),
            "visual_features": visual,
            "visual_mask": no_visual & masked,
            "text_features": text,
            "text_mask": no_text & masked,
        },
        _VECTORS,
    )


def encoder_graph(bundle: Bundle) -> str:
    """There is one."""
    return "entity_encoder"


def stand_ins(bundle: Bundle, device: str, threads: int | None) -> LinkStandIns:
    """A compiled kernel for queries, on the CPU and on GPUs; none for entities, whose graph is two products."""
    return LinkStandIns(compiled_query(bundle, device))


def _modality(
    kind: str, features: Any, mask: Any, bundle: Bundle, count: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Features float32 [count, width] with zeros where there are none, and which are missing, bool [count]."""
    config = AdaMFConfig.of(bundle.config)
    width = config.visual_feature_width if kind == "visual" else config.text_feature_width
    if features is None:
        if mask is not None:
            raise QueryError(f"{kind}_mask goes with {kind}_features; without them every entity lacks the modality.")
        return np.zeros((count, width), np.float32), np.ones(count, np.bool_)
    rows = float_rows(f"{kind}_features", features, (count, width))
    missing = np.zeros(count, np.bool_) if mask is None else as_array(f"{kind}_mask", mask)
    if missing.shape != (count,) or missing.dtype != bool:
        raise QueryError(f"{kind}_mask is {missing.dtype} {list(missing.shape)}; expected bool [{count}].")
    return np.where(missing[:, None], np.float32(0), rows), missing
