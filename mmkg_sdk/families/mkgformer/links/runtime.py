"""What the runtime must know of MKGformer's link prediction: what a bundle holds, and what its query graph is fed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from ....bundle import Bundle
from ....bundle.contents import Contents, Stored, link_prediction_contents
from ....data.layouts.mkgformer import choose_images
from ....errors import BundleError, QueryError
from ....modalities.images import clip_pixels
from ....modalities.tokenizer_rules import BERT_TOKENS
from ....ranking.known_triples import HEAD, Queries
from ...entity_batch import EntityBatch
from ...explained import EntityExplanation, QueryExplanation
from ...runtimes import EntityRow, LinkStandIns
from ..config import MKGformerConfig
from ..correlation import places_of, text_image_weights
from ..sentences.runtime import crops
from .texts import queries_by_length, stored_texts

if TYPE_CHECKING:
    from PIL.Image import Image

SHOWS_IMAGES = True
_SPECIAL_TOKENS = 5


def contents(config: MKGformerConfig) -> Contents:
    """What the bundle of this configuration holds.

    `inputs` has the word pieces of all texts. `images` has what the vision tower makes of each distinct set of
    images below the first fused layer, and is read from the disk as it is needed: 335 KB in float32 for each set at
    the published sizes. Entities without an image share one.
    """
    assert config.num_entities is not None
    assert config.num_relations is not None
    pieces = Stored("int32", (None,))
    found = link_prediction_contents(
        config.num_entities,
        config.num_relations,
        table={"vectors": Stored("float32", (config.num_entities, config.table_width))},
        inputs={
            "special_tokens": Stored("int32", (_SPECIAL_TOKENS,)),
            "entity_offsets": Stored("int64", (config.num_entities + 1,)),
            "entity_pieces": pieces,
            "relation_offsets": Stored("int64", (config.num_relations + 1,)),
            "relation_pieces": pieces,
            "opening": pieces,
            "closing": pieces,
            "image_rows": Stored("int64", (config.num_entities,)),
        },
        graphs=("query_encoder", "image_encoder"),
    )
    states = Stored(config.state_dtype, (None, config.visual_tokens, config.hidden_dim), mapped=True)
    return replace(found, tensors={**found.tensors, "images": {"states": states}})


def check_bundle(bundle: Bundle) -> None:
    """Whether offsets, word pieces and image rows are in range.

    Raises:
        BundleError: they are not.
    """
    if "inputs" not in bundle.tensors:  # a part of a sharded bundle
        return
    config, inputs = MKGformerConfig.of(bundle.config), bundle.inputs
    path = bundle.path / "inputs.safetensors"
    for name in ("entity", "relation"):
        offsets, total = inputs[f"{name}_offsets"], len(inputs[f"{name}_pieces"])
        if offsets[0] != 0 or offsets[-1] != total or (np.diff(offsets) < 0).any():
            raise BundleError(f"{path}: {name}_offsets do not divide {total:,} word pieces. Export the bundle again.")
    limits = {name: config.base_vocabulary_size for name in inputs if inputs[name].dtype == np.int32}
    limits["image_rows"] = len(bundle.tensors["images"]["states"])
    for name, limit in limits.items():
        least = -1 if name == "special_tokens" else 0
        if len(inputs[name]) and not least <= inputs[name].min() <= inputs[name].max() < limit:
            raise BundleError(
                f"{path}: {name} goes from {inputs[name].min()} to {inputs[name].max()}; expected {least} to "
                f"{limit - 1}. Export the bundle again."
            )


def image_inputs(bundle: Bundle, images: Sequence[Path | Image]) -> dict[str, NDArray[np.float32]]:
    """The inputs of image_encoder for the images of one entity, chosen as in training; zeros for missing ones.

    Args:
        images: files or images of Pillow, in the order of the data set. What cannot be read is missing, with a warning.

    Returns:
        "pixel_values" float32 [1, 3, size, size]; "aux_values" and "rcnn_values" float32 [1, images, 3, size, size], an
        absent group with 0 images.
    """
    config, shown = MKGformerConfig.of(bundle.config), choose_images(cast(Any, images))
    aux, rcnn = shown.aux[: config.num_aux_images or 0], shown.rcnn[: config.num_rcnn_images or 0]
    return {
        "pixel_values": clip_pixels(shown.main, config.image_size)[None],
        "aux_values": crops(aux, config.num_aux_images, config.aux_image_size, skip_unreadable=True),
        "rcnn_values": crops(rcnn, config.num_rcnn_images, config.rcnn_image_size, skip_unreadable=True),
    }


def entity_batch(bundle: Bundle, **modalities: Any) -> EntityBatch:
    """Refused.

    Raises:
        QueryError: always: entities are words of the model, and a new one is trained.
    """
    raise QueryError(f"the entities of {bundle.family} are part of its vocabulary; a new one needs training.")


def explained(bundle: Bundle, entity: EntityRow) -> EntityExplanation:
    """Refused.

    Raises:
        QueryError: always: nothing is mixed before a query.
    """
    raise QueryError(
        f"{bundle.family} reads text and image with each query, so an entity has no weights of its own. Ask "
        "`explain_tail` or `explain_head` with a relation; mygo and adamf_mat explain entities."
    )


def explained_query(bundle: Bundle, queries: Queries) -> QueryExplanation:
    """By which weights each piece of one query takes from each place of the entity's images.

    Raises:
        QueryError: as of `query_batches`.
    """
    ((_, inputs),) = query_batches(bundle, np.empty((0, 0), np.float32), queries)
    one = {name: array[0] for name, array in inputs.items()}
    weights = text_image_weights(bundle, one, one["image_state"])
    places = places_of(weights, MKGformerConfig.of(bundle.config))
    asked, relation = bundle.entities[int(queries.entity[0])], bundle.relations[int(queries.relation[0])]
    asks_head = queries.direction[0] == HEAD
    return QueryExplanation(
        None if asks_head else asked,
        relation,
        asked if asks_head else None,
        tuple(_named(bundle, token) for token in one["input_ids"].tolist()),
        int(one["mask_position"]),
        {group: grid for group, grid in places.items() if grid.size},
    )


def _named(bundle: Bundle, token: int) -> str:
    """A token as people read it."""
    config = MKGformerConfig.of(bundle.config)
    special: list[int] = bundle.inputs["special_tokens"].tolist()
    if token in special:
        return BERT_TOKENS[special.index(token)]
    entity = token - config.base_vocabulary_size
    if entity < 0:
        return f"piece {token}"
    relation = entity - len(bundle.entities)
    return f"relation {bundle.relations[relation]}" if relation >= 0 else f"entity {bundle.entities[entity]}"


def new_entities(bundle: Bundle) -> None:
    """There is no encoder; see `entity_batch`."""


def bundle_entities(bundle: Bundle) -> None:
    """No graph makes the table: it is the model's word table."""


def encoder_graph(bundle: Bundle) -> str:
    """Refused.

    Raises:
        QueryError: always, as `entity_batch`.
    """
    raise QueryError(f"{bundle.family} has no graph that encodes entities.")


def stand_ins(bundle: Bundle, device: str, threads: int | None) -> LinkStandIns:
    """None: no kernel does a transformer's work better than its graph."""
    return LinkStandIns()


def query_batches(
    bundle: Bundle, table: NDArray[np.float32], queries: Queries
) -> Iterator[tuple[slice | NDArray[np.int64], dict[str, NDArray[Any]]]]:
    """Which queries go into one run of the query graph, and its inputs: those of equal length, none padded.

    Args:
        table: the encoded entities; the known ones are given to this family as text.

    Raises:
        QueryError: a text of the data holds [MASK], or is so long that the query lacks a part.
    """
    config, inputs = MKGformerConfig.of(bundle.config), bundle.inputs
    states, image_rows = bundle.tensors["images"]["states"], inputs["image_rows"]
    for rows, tokens in queries_by_length(stored_texts(inputs, config), queries, config.visual_tokens):
        yield (
            rows,
            {
                "input_ids": tokens,
                "attention_mask": np.ones_like(tokens),
                "mask_position": (tokens == config.mask_token_id).argmax(axis=1),
                "image_state": np.asarray(states[image_rows[queries.shown[rows]]], np.float32),
            },
        )
