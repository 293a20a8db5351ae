"""What the runtime must know of MyGO, without torch: what a bundle holds, and what its entity encoder may be fed."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...bundle import Bundle
from ...bundle.contents import Contents, Stored, link_prediction_contents
from ...errors import BundleError, QueryError
from ...modalities.readers import AnyReader
from ...modalities.selection import most_frequent
from ...modalities.stored_tokenizers import TOKENIZERS
from ...ranking.known_triples import Queries
from ..entity_batch import EntityBatch, as_array, by_modality, host_array, structure_rows
from ..explained import EntityExplanation, QueryExplanation
from ..query_batches import query_batches
from ..raw_input import Images, Texts, raw_tokens, read_tokenizers
from ..runtimes import EntityRow, LinkStandIns
from .attention import explained_entity
from .compiled_encoder import TOKEN_TABLE_GRAPH, compiled_encoder
from .compiled_query import compiled_query
from .config import MyGOConfig
from .modalities import token_inputs

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
            **{
                name: Stored("int64" if name.endswith("_tokens") else "bool", (entities, None))
                for name in token_inputs(config.modalities)
            },
        },
        graphs=("query_encoder", "entity_encoder", *rewritten, "complete"),
        encoding=("inputs", "entity_encoder", *rewritten, "complete"),
        optional=(TOKENIZERS,),
    )


def weight_shapes(config: MyGOConfig) -> dict[str, tuple[int, ...]]:
    """The shapes of those weights that tell the sizes of the model."""
    width, hidden = config.embedding_dim, config.feedforward_dim
    last = "layers.{}.rest.hidden.multiplied_weight"
    shapes: dict[str, tuple[int, ...]] = {
        "entity_encoder.multiplied_table": (sum(one.codebook_rows for one in config.modalities), width),
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
    if "inputs" not in bundle.tensors:  # a part of a sharded bundle
        return
    _tokenizers(bundle)
    path = bundle.path / "inputs.safetensors"
    for modality in MyGOConfig.of(bundle.config).modalities:
        name = modality.name
        if f"{name}_tokens" not in bundle.graphs["entity_encoder"].axes():
            raise BundleError(f"{bundle.path}: graph entity_encoder has no axis {name}_tokens. Export again.")
        tokens, mask = (bundle.inputs[f"{name}_{part}"] for part in ("tokens", "mask"))
        if mask.shape != tokens.shape:
            raise BundleError(
                f"{path}: {name}_mask is bool {list(mask.shape)}, expected {list(tokens.shape)}. Export again."
            )
        if tokens.min() < 0 or tokens.max() >= modality.codebook_rows:
            raise BundleError(f"{path}: {name}_tokens holds a row that the codebook does not have. Export again.")


def new_entities(bundle: Bundle) -> EntityBatch:
    """One entity with a token of each modality, and for each modality one without it."""
    names = [modality.name for modality in MyGOConfig.of(bundle.config).modalities]
    return entity_batch(
        bundle, tokens={name: [[0], *([] if name == other else [0] for other in names)] for name in names}
    )


def explained(bundle: Bundle, entity: EntityRow) -> EntityExplanation:
    """The attention of the pooled position over the entity's tokens.

    Raises:
        QueryError: of a sharded bundle.
    """
    if "inputs" not in bundle.tensors:
        raise QueryError(f"{bundle.path.parent} is sharded and has no tokens of entities. Ask the whole bundle.")
    return explained_entity(bundle, entity, _tokenizers(bundle))


def explained_query(bundle: Bundle, queries: Queries) -> QueryExplanation:
    """Refused.

    Raises:
        QueryError: always: images count in entities, before there is a query.
    """
    raise QueryError(f"a query of {bundle.family} looks at no image; its entities do. Ask `explain_entity`.")


def image_inputs(bundle: Bundle, images: Any) -> dict[str, NDArray[np.float32]]:
    """Refused.

    Raises:
        QueryError: always: images are part of the entities.
    """
    raise QueryError(f"{bundle.family} encodes the images of an entity with it, and shows none with a query.")


def bundle_entities(bundle: Bundle) -> EntityBatch:
    """The inputs of the bundle's own entities."""
    return _batch(dict(bundle.inputs))


def entity_batch(
    bundle: Bundle,
    *,
    tokens: Mapping[str, Tokens] | None = None,
    masks: Mapping[str, NDArray[np.bool_]] | None = None,
    visual_tokens: Tokens | None = None,
    text_tokens: Tokens | None = None,
    visual_mask: NDArray[np.bool_] | None = None,
    text_mask: NDArray[np.bool_] | None = None,
    structure: NDArray[np.float32] | None = None,
    texts: Texts | Mapping[str, Texts] | None = None,
    images: Images | None = None,
) -> EntityBatch:
    """Check and pad what a caller gives.

    Args:
        texts, images: what tokens are made of as those of the training data were, see raw_input.py: one for each
            entity, None where it has none. Of texts that are none of "text" a list by modality. Beside them, a modality
            that is left out is missing for all.
        tokens: of every modality of the model by name ("visual", "text", further ones): codebook rows, int64
            [n, tokens]; or one list per entity, of any length. An empty list means that the entity lacks the modality;
            a modality that is left out is an error, for a forgotten one would pass for a missing one.
        masks: bool [n, tokens] by name, True = padding; only with arrays.
        visual_tokens, text_tokens, visual_mask, text_mask: other spellings of the same.
        structure: the structural embeddings, float32 [n, embedding_dim]. An entity that was not trained has
            none; None takes the mean of the trained ones. (The paper does not treat new entities.)

    Raises:
        QueryError: a modality that the model does not have, or of which nothing is given; wrong shape or dtype, a token
            that the codebook does not have, NaN in `structure`.
    """
    names = [modality.name for modality in MyGOConfig.of(bundle.config).modalities]
    given = by_modality("tokens", tokens, {"visual": visual_tokens, "text": text_tokens}, names)
    if texts is not None or images is not None:
        given = _raw(bundle, given, texts, images)
    hidden = by_modality("masks", masks, {"visual": visual_mask, "text": text_mask}, names)
    if missing := [name for name in names if name not in given]:
        raise QueryError(
            f"no {missing[0]} tokens given; expected those of {', '.join(names)}, with an empty list for each entity "
            "that lacks a modality."
        )
    arrays: dict[str, NDArray[Any]] = {}
    for name in names:
        arrays[f"{name}_tokens"], arrays[f"{name}_mask"] = _modality(name, given[name], hidden.get(name), bundle)
    count = len(arrays[f"{names[0]}_tokens"])
    for name in names:
        if len(arrays[f"{name}_tokens"]) != count:
            raise QueryError(
                f"{names[0]} tokens of {count} entities and {name} tokens of {len(arrays[f'{name}_tokens'])}; expected "
                "equally many."
            )
    return _batch({"structure": structure_rows(structure, bundle, count), **arrays}, structure is not None)


def encoder_graph(bundle: Bundle) -> str:
    """The token table's, where the model has one layer and so one."""
    return TOKEN_TABLE_GRAPH if TOKEN_TABLE_GRAPH in bundle.graphs else "entity_encoder"


def stand_ins(bundle: Bundle, device: str, threads: int | None) -> LinkStandIns:
    """Compiled kernels for queries, and for entities of models of one layer."""
    return LinkStandIns(compiled_query(bundle, device, threads), compiled_encoder(bundle, device, threads))


def _tokenizers(bundle: Bundle) -> dict[str, AnyReader]:
    modalities = MyGOConfig.of(bundle.config).modalities
    return read_tokenizers(bundle, {modality.name: modality.codebook_rows for modality in modalities})


def _raw(
    bundle: Bundle, given: Mapping[str, Any], texts: Texts | Mapping[str, Texts] | None, images: Images | None
) -> dict[str, Any]:
    """What is given, and tokens of texts and images: of each entity as many as training saw, the most frequent ones."""
    kept = {modality.name: modality.num_tokens for modality in MyGOConfig.of(bundle.config).modalities}
    found = raw_tokens(_tokenizers(bundle), [*kept], texts, images)
    if twice := [name for name in found if name in given]:
        raise QueryError(f"{twice[0]} tokens are given, and what they would be made of, too. Leave one out.")
    count = max(map(len, found.values()), default=0)
    missing: list[list[int]] = [[]] * count
    made = {name: [sorted(most_frequent(own, kept[name])) for own in lists] for name, lists in found.items()}
    return {name: given.get(name, made.get(name, missing)) for name in kept}


def _batch(arrays: dict[str, NDArray[Any]], has_structure: bool = True) -> EntityBatch:
    tokens = sum(array.shape[1] for name, array in arrays.items() if name.endswith("_tokens"))
    return EntityBatch(arrays, 2 + tokens, has_structure)


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
    modalities = MyGOConfig.of(bundle.config).modalities
    return next(modality.codebook_rows for modality in modalities if modality.name == kind)


def most_tokens(kind: str, bundle: Bundle) -> int:
    """What the graphs were made for; attention over many more would take the memory of the machine."""
    return bundle.graphs["entity_encoder"].axes()[f"{kind}_tokens"].max


def _padded(kind: str, lists: Sequence[Sequence[int]]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    if (found := _padded_integers(lists)) is not None:
        return found
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


def _padded_integers(lists: Any) -> tuple[NDArray[np.int64], NDArray[np.bool_]] | None:
    """The same of lists of Python's integers, a million of them in a second; None where there is anything else."""
    if not isinstance(lists, list | tuple) or not set(map(type, lists)) <= {list, tuple}:
        return None
    numbers = list(itertools.chain.from_iterable(lists))
    if not set(map(type, numbers)) <= {int}:
        return None
    try:
        flat = np.array(numbers, np.int64)
    except OverflowError:
        return None
    lengths = np.fromiter(map(len, lists), np.int64, len(lists))
    hidden = np.arange(lengths.max(initial=0)) >= lengths[:, None]
    array = np.zeros(hidden.shape, np.int64)
    array[~hidden] = flat
    return array, hidden
