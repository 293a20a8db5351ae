"""What the runtime must know of MyGO, without torch: what a bundle holds, and what its entity encoder may be fed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...bundle import Bundle
from ...bundle.contents import Contents, Stored, link_prediction_contents
from ...errors import BundleError, QueryError
from ..entity_batch import EntityBatch, as_array, host_array, structure_rows
from ..query_batches import query_batches
from ..runtimes import LinkStandIns
from .compiled_encoder import TOKEN_TABLE_GRAPH, compiled_encoder
from .compiled_query import compiled_query
from .config import MyGOConfig

__all__ = [
    "SHOWS_IMAGES",
    "bundle_entities",
    "check_bundle",
    "contents",
    "encoder_graph",
    "entity_batch",
    "most_tokens",
    "new_entities",
    "query_batches",
    "stand_ins",
    "weight_shapes",
]

SHOWS_IMAGES = False
Tokens = Sequence[Sequence[int]] | NDArray[Any]


def contents(config: MyGOConfig) -> Contents:
    """What the bundle of this configuration holds; the token-table encoder is exact for one layer only."""
    entities, width = config.num_entities, config.embedding_dim
    rewritten = (TOKEN_TABLE_GRAPH,) if config.num_entity_layers == 1 else ()
    return link_prediction_contents(
        entities,
        config.num_relations,
        table={"vectors": Stored("float32", (entities, width))},
        inputs={
            "structure": Stored("float32", (entities, width)),
            "visual_tokens": Stored("int64", (entities, None)),
            "visual_mask": Stored("bool", (entities, None)),
            "text_tokens": Stored("int64", (entities, None)),
            "text_mask": Stored("bool", (entities, None)),
        },
        graphs=("query_encoder", "entity_encoder", *rewritten, "complete"),
    )


def weight_shapes(config: MyGOConfig) -> dict[str, tuple[int, ...]]:
    """The shapes of those weights that tell the sizes of the model."""
    width, hidden = config.embedding_dim, config.feedforward_dim
    last = "layers.{}.rest.hidden.multiplied_weight"
    shapes: dict[str, tuple[int, ...]] = {
        "entity_encoder.multiplied_table": (config.visual_codebook_rows + config.text_codebook_rows, width),
        f"entity_encoder.{last.format(config.num_entity_layers - 1)}": (width, hidden),
        f"query_encoder.{last.format(config.num_decoder_layers - 1)}": (width, hidden),
        "query_encoder.relations": (config.num_relations, width),
    }
    if config.num_entity_layers == 1:
        shapes[f"{TOKEN_TABLE_GRAPH}.pooled_logits"] = (1, config.num_heads)
    return shapes


def check_bundle(bundle: Bundle) -> None:
    """What shapes and dtypes do not tell: masks as wide as their tokens, tokens within the codebooks.

    Raises:
        BundleError: they are not.
    """
    path = bundle.path / "inputs.safetensors"
    for modality in ("visual", "text"):
        if f"{modality}_tokens" not in bundle.graphs["entity_encoder"].axes():
            raise BundleError(f"{bundle.path}: graph entity_encoder has no axis {modality}_tokens. Export again.")
        tokens, mask = (bundle.inputs[f"{modality}_{part}"] for part in ("tokens", "mask"))
        if mask.shape != tokens.shape:
            raise BundleError(
                f"{path}: {modality}_mask is bool {list(mask.shape)}, expected {list(tokens.shape)}. Export again."
            )
        if tokens.min() < 0 or tokens.max() >= _codebook_rows(bundle, modality):
            raise BundleError(f"{path}: {modality}_tokens holds a row that the codebook does not have. Export again.")


def new_entities(bundle: Bundle) -> EntityBatch:
    """One entity with a token of each kind, one without image, and one without text."""
    return entity_batch(bundle, visual_tokens=[[0], [], [0]], text_tokens=[[0], [0], []])


def bundle_entities(bundle: Bundle) -> EntityBatch:
    """The inputs of the bundle's own entities."""
    return _batch(dict(bundle.inputs))


def entity_batch(
    bundle: Bundle,
    *,
    visual_tokens: Tokens,
    text_tokens: Tokens,
    visual_mask: NDArray[np.bool_] | None = None,
    text_mask: NDArray[np.bool_] | None = None,
    structure: NDArray[np.float32] | None = None,
) -> EntityBatch:
    """Check and pad what a caller gives.

    Args:
        visual_tokens, text_tokens: codebook rows, int64 [n, tokens]; or one list per entity, of any length.
            An empty list means that the modality is missing.
        visual_mask, text_mask: bool [n, tokens], True = padding; only with arrays.
        structure: the structural embeddings, float32 [n, embedding_dim]. An entity that was not trained has
            none; None takes the mean of the trained ones. (The paper does not treat new entities.)

    Raises:
        QueryError: wrong shape or dtype, a token that the codebook does not have, NaN in `structure`.
    """
    visual, visual_hidden = _modality("visual", visual_tokens, visual_mask, bundle)
    text, text_hidden = _modality("text", text_tokens, text_mask, bundle)
    if len(text) != len(visual):
        raise QueryError(
            f"visual tokens of {len(visual)} entities and text tokens of {len(text)}; expected equally many."
        )
    return _batch(
        {
            "structure": structure_rows(structure, bundle, len(visual)),
            "visual_tokens": visual,
            "visual_mask": visual_hidden,
            "text_tokens": text,
            "text_mask": text_hidden,
        }
    )


def encoder_graph(bundle: Bundle) -> str:
    """The token table's, where the model has one layer and so one."""
    return TOKEN_TABLE_GRAPH if TOKEN_TABLE_GRAPH in bundle.graphs else "entity_encoder"


def stand_ins(bundle: Bundle, device: str, threads: int | None) -> LinkStandIns:
    """Compiled kernels for queries, and for entities of models of one layer."""
    return LinkStandIns(compiled_query(bundle, device, threads), compiled_encoder(bundle, device, threads))


def _batch(arrays: dict[str, NDArray[Any]]) -> EntityBatch:
    return EntityBatch(arrays, 2 + arrays["visual_tokens"].shape[1] + arrays["text_tokens"].shape[1])


def _modality(
    kind: str, tokens: Tokens, mask: NDArray[np.bool_] | None, bundle: Bundle
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Tokens int64 [n, count] and mask bool [n, count] with count >= 1, from arrays or ragged lists."""
    rows = _codebook_rows(bundle, kind)
    tokens = host_array(tokens)
    if isinstance(tokens, np.ndarray):
        array = tokens
        hidden = np.zeros(array.shape, dtype=bool) if mask is None else as_array(f"{kind}_mask", mask)
    else:
        if mask is not None:
            raise QueryError(f"{kind}_mask goes with an array of {kind} tokens; lists are padded by themselves.")
        array, hidden = _padded(kind, tokens)
    if array.ndim != 2 or array.dtype.kind not in "iu":
        raise QueryError(f"{kind} tokens are {array.dtype} {list(array.shape)}; expected int64 [entities, tokens].")
    if hidden.shape != array.shape or hidden.dtype != bool:
        raise QueryError(f"{kind}_mask is {hidden.dtype} {list(hidden.shape)}; expected bool {list(array.shape)}.")
    limit = most_tokens(kind, bundle)
    if array.shape[1] > limit:
        raise QueryError(f"{array.shape[1]:,} {kind} tokens; an entity has at most {limit:,}. Leave some out.")
    wrong = np.argwhere((array < 0) | (array >= rows))
    if len(wrong):
        entity, slot = wrong[0]
        raise QueryError(
            f"{kind} token {array[entity, slot]} (entity {entity}, slot {slot}) is not in the codebook of {rows:,}."
        )
    if not array.shape[1]:
        array, hidden = np.zeros((len(array), 1), np.int64), np.ones((len(array), 1), dtype=bool)
    return np.ascontiguousarray(array, dtype=np.int64), np.ascontiguousarray(hidden)


def _codebook_rows(bundle: Bundle, kind: str) -> int:
    config = MyGOConfig.of(bundle.config)
    return config.visual_codebook_rows if kind == "visual" else config.text_codebook_rows


def most_tokens(kind: str, bundle: Bundle) -> int:
    """What the graphs were made for; attention over many more would take the memory of the machine."""
    return bundle.graphs["entity_encoder"].axes()[f"{kind}_tokens"].max


def _padded(kind: str, lists: Sequence[Sequence[int]]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    try:
        rows = [np.asarray(host_array(row) if len(row) else np.empty(0, np.int64)) for row in lists]
    except (TypeError, ValueError) as err:
        raise QueryError(f"{kind} tokens are {lists!r:.60}; expected one list of token ids per entity.") from err
    for i, row in enumerate(rows):
        if row.ndim != 1 or row.dtype.kind not in "iu":
            raise QueryError(f"{kind} tokens of entity {i} are {lists[i]!r:.60}; expected a list of integer token ids.")
    width = max((len(row) for row in rows), default=0)
    array, hidden = np.zeros((len(rows), width), np.int64), np.ones((len(rows), width), dtype=bool)
    for i, row in enumerate(rows):
        array[i, : len(row)], hidden[i, : len(row)] = row, False
    return array, hidden
