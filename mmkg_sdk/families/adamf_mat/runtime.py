"""What the runtime must know of AdaMF, without torch: what a bundle holds, and what its entity encoder may be fed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...bundle import Bundle
from ...bundle.contents import Contents, Stored, link_prediction_contents
from ...errors import QueryError
from ...modalities.readers import AnyReader
from ...modalities.selection import mean_row
from ...modalities.stored_tokenizers import TOKENIZERS
from ...ranking.known_triples import Queries
from ...registry import said_modality
from ..entity_batch import EntityBatch, as_array, by_modality, float_rows, structure_rows
from ..explained import EntityExplanation, QueryExplanation
from ..query_batches import query_batches
from ..raw_input import Images, Texts, raw_tokens, read_codebooks, read_tokenizers
from ..runtimes import EntityRow, LinkStandIns
from .compiled_query import compiled_query
from .config import AdaMFConfig
from .modalities import mask_names

__all__ = [
    "SHOWS_IMAGES",
    "bundle_entities",
    "check_bundle",
    "contents",
    "encoder_graph",
    "entity_batch",
    "explained",
    "explained_query",
    "image_inputs",
    "new_entities",
    "query_batches",
    "stand_ins",
    "weight_shapes",
]

SHOWS_IMAGES = False


def contents(config: AdaMFConfig) -> Contents:
    """What the bundle of this configuration holds."""
    entities, width = config.num_entities, config.table_width
    return link_prediction_contents(
        entities,
        config.num_relations,
        table={
            "vectors": Stored("float32", (entities, width)),
            "modality_weights": Stored("float32", (entities, config.num_vectors)),
        },
        inputs={
            "structure": Stored("float32", (entities, width)),
            **{f"{one.name}_features": Stored("float32", (entities, one.feature_width)) for one in config.modalities},
            **{name: Stored("bool", (entities,)) for name in mask_names(config.modalities)},
        },
        graphs=("query_encoder", "entity_encoder", "complete"),
        encoding=("inputs", "entity_encoder", "complete"),
        optional=(TOKENIZERS,),
    )


def weight_shapes(config: AdaMFConfig) -> dict[str, tuple[int, ...]]:
    """The shapes of those weights that tell the sizes of the model."""
    projections: dict[str, tuple[int, ...]] = {
        f"entity_encoder.{modality.graph_name}.multiplied_weight": (modality.feature_width, config.table_width)
        for modality in config.modalities
    }
    return projections | {"query_encoder.rotations": (config.num_relations, config.table_width)}


def explained(bundle: Bundle, entity: EntityRow) -> EntityExplanation:
    """The weights of the fusion: of structure and all modalities."""
    modalities = AdaMFConfig.of(bundle.config).modalities
    names = ("structure", *(said_modality(modality.name) for modality in modalities))
    return EntityExplanation(entity.label, dict(zip(names, entity.encoded("modality_weights").tolist(), strict=True)))


def explained_query(bundle: Bundle, queries: Queries) -> QueryExplanation:
    """Refused.

    Raises:
        QueryError: always: images count in entities, before there is a query.
    """
    raise QueryError(f"a query of {bundle.family} looks at no image; its entities do. Ask `explain_entity`.")


def check_bundle(bundle: Bundle) -> None:
    """Shapes and dtypes tell everything but whether what makes features fits. Raises BundleError."""
    _feature_makers(bundle)


def new_entities(bundle: Bundle) -> EntityBatch:
    """The features of one entity, whole, and without each of its modalities."""
    names = [modality.name for modality in AdaMFConfig.of(bundle.config).modalities]
    features = {name: np.repeat(bundle.inputs[f"{name}_features"][:1], 1 + len(names), axis=0) for name in names}
    masks = {name: np.arange(1 + len(names)) == 1 + place for place, name in enumerate(names)}
    return entity_batch(bundle, features=features, masks=masks)


def image_inputs(bundle: Bundle, images: Any) -> dict[str, NDArray[np.float32]]:
    """Refused.

    Raises:
        QueryError: always: images are part of the entities.
    """
    raise QueryError(f"{bundle.family} encodes the images of an entity with it, and shows none with a query.")


def bundle_entities(bundle: Bundle) -> EntityBatch:
    """The inputs of the bundle's own entities."""
    return EntityBatch(dict(bundle.inputs), AdaMFConfig.of(bundle.config).num_vectors)


def entity_batch(
    bundle: Bundle,
    *,
    features: Mapping[str, NDArray[np.float32]] | None = None,
    masks: Mapping[str, NDArray[np.bool_]] | None = None,
    visual_features: NDArray[np.float32] | None = None,
    text_features: NDArray[np.float32] | None = None,
    visual_mask: NDArray[np.bool_] | None = None,
    text_mask: NDArray[np.bool_] | None = None,
    structure: NDArray[np.float32] | None = None,
    texts: Texts | Mapping[str, Texts] | None = None,
    images: Images | None = None,
) -> EntityBatch:
    """Check what a caller gives.

    Args:
        texts, images: what features are made of as those of the training data were before it, see raw_input.py: one for
            each entity, None where it has none. Of texts that are none of "text" a list by modality.
        features: by modality ("visual", "text", further ones) float32 [n, feature width], from the models that made the
            training features; no entity has a modality that is left out.
        masks: by modality bool [n], True = this entity lacks it; its row is not looked at.
        visual_features, text_features, visual_mask, text_mask: other spellings of the same.
        structure: the structural embeddings, float32 [n, 2 embedding_dim]. An entity that was not trained has none;
            None takes the mean of the trained ones. (The paper does not treat new entities.)

    A missing modality becomes what the training made of it: zeros, or no share in the fusion.

    Raises:
        QueryError: nothing given, a modality that the model does not have, wrong shape or dtype, NaN.
    """
    config = AdaMFConfig.of(bundle.config)
    names = [modality.name for modality in config.modalities]
    rows = by_modality("features", features, {"visual": visual_features, "text": text_features}, names)
    hidden = by_modality("masks", masks, {"visual": visual_mask, "text": text_mask}, names)
    if texts is not None or images is not None:
        rows, hidden = _raw(bundle, rows, hidden, texts, images)
    given = [array for array in (structure, *(rows[name] for name in names if name in rows)) if array is not None]
    if not given:
        raise QueryError(f"no features given; expected those of {', '.join(names)}, or structure, one row per entity.")
    first = as_array("features", given[0])
    count = len(first) if first.ndim else 0
    arrays: dict[str, NDArray[Any]] = {"structure": structure_rows(structure, bundle, count)}
    for modality in config.modalities:
        name, width = modality.name, modality.feature_width
        arrays[f"{name}_features"], missing = _modality(name, rows.get(name), hidden.get(name), (count, width))
        arrays[f"{name}_mask"] = missing & (config.missing_modalities == "mask")
    return EntityBatch(arrays, config.num_vectors, structure is not None)


def encoder_graph(bundle: Bundle) -> str:
    """There is one."""
    return "entity_encoder"


def stand_ins(bundle: Bundle, device: str, threads: int | None) -> LinkStandIns:
    """A compiled kernel for queries, on the CPU and on GPUs; none for entities, whose graph is two products."""
    return LinkStandIns(compiled_query(bundle, device))


def _feature_makers(bundle: Bundle) -> tuple[dict[str, AnyReader], dict[str, NDArray[np.float32]]]:
    """Tokenizers, and the vectors of their tokens."""
    widths = {modality.name: modality.feature_width for modality in AdaMFConfig.of(bundle.config).modalities}
    codebooks = read_codebooks(bundle, widths)
    return read_tokenizers(bundle, {name: len(codebook) for name, codebook in codebooks.items()}), codebooks


def _raw(
    bundle: Bundle,
    rows: Mapping[str, Any],
    hidden: Mapping[str, Any],
    texts: Texts | Mapping[str, Texts] | None,
    images: Images | None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Features and masks as given, and those of texts and images."""
    tokenizers, codebooks = _feature_makers(bundle)
    found = raw_tokens(
        tokenizers, [modality.name for modality in AdaMFConfig.of(bundle.config).modalities], texts, images
    )
    if twice := [name for name in found if name in rows or name in hidden]:
        raise QueryError(f"{twice[0]} features are given, and what they would be made of, too. Leave one out.")
    made = {name: np.zeros((len(lists), codebooks[name].shape[1]), np.float32) for name, lists in found.items()}
    missing = {name: np.array([not own for own in lists], np.bool_) for name, lists in found.items()}
    for name, lists in found.items():
        for row, own in enumerate(lists):
            if own:
                made[name][row] = mean_row(own, codebooks[name])
    return {**rows, **made}, {**hidden, **missing}


def _modality(
    kind: str, features: Any, mask: Any, shape: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Features float32 of a shape with zeros where there are none, and which are missing, bool [entities]."""
    count = shape[0]
    if features is None:
        if mask is not None:
            raise QueryError(f"{kind}_mask goes with {kind}_features; without them every entity lacks the modality.")
        return np.zeros(shape, np.float32), np.ones(count, np.bool_)
    rows = float_rows(f"{kind}_features", features, shape)
    missing = np.zeros(count, np.bool_) if mask is None else as_array(f"{kind}_mask", mask)
    if missing.shape != (count,) or missing.dtype != bool:
        raise QueryError(f"{kind}_mask is {missing.dtype} {list(missing.shape)}; expected bool [{count}].")
    return (np.where(missing[:, None], np.float32(0), rows) if missing.any() else rows), missing
