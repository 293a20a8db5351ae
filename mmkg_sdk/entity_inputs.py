"""What the entity encoder is fed: tokens, masks and structural embeddings, checked at the door."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bundle import Bundle
from .errors import QueryError
from .ids import host_array

Tokens = Sequence[Sequence[int]] | NDArray[Any]


@dataclass(frozen=True)
class EntityBatch:
    """Checked inputs of the encoder graphs: name -> array with one row per entity."""

    arrays: dict[str, NDArray[Any]]

    def __len__(self) -> int:
        return len(self.arrays["structure"])

    @property
    def token_count(self) -> int:
        """Length of the sequence: pooled token, structural token, and all visual and text slots."""
        return 2 + int(self.arrays["visual_tokens"].shape[1] + self.arrays["text_tokens"].shape[1])

    def rows(self, rows: slice) -> dict[str, NDArray[Any]]:
        return {name: array[rows] for name, array in self.arrays.items()}


def bundle_entities(bundle: Bundle) -> EntityBatch:
    """The inputs of the bundle's own entities."""
    return EntityBatch(dict(bundle.inputs))


def entity_batch(
    bundle: Bundle,
    visual: tuple[Tokens, NDArray[np.bool_] | None],
    text: tuple[Tokens, NDArray[np.bool_] | None],
    structure: NDArray[Any] | None,
) -> EntityBatch:
    """Check and pad what a caller gives; see Model.encode_entities for the arguments and errors."""
    visual_tokens, visual_mask = _modality("visual", *visual, bundle)
    text_tokens, text_mask = _modality("text", *text, bundle)
    count = len(visual_tokens)
    if len(text_tokens) != count:
        raise QueryError(
            f"visual tokens of {count} entities and text tokens of {len(text_tokens)}; expected equally many."
        )
    trained = bundle.inputs["structure"]
    if structure is None:
        structure = np.repeat(trained.mean(axis=0, keepdims=True), count, axis=0)
    structure = _array("structure", structure)
    if structure.shape != (count, trained.shape[1]) or structure.dtype.kind not in "fiu":
        raise QueryError(
            f"structure is {structure.dtype} {list(structure.shape)}; expected float32 [{count}, {trained.shape[1]}]."
        )
    with np.errstate(over="ignore"):  # a double beyond float32 becomes infinite, which is refused
        structure = np.ascontiguousarray(structure, dtype=np.float32)
    if not np.isfinite(structure).all():
        row = np.flatnonzero(~np.isfinite(structure).all(axis=1))[0]
        raise QueryError(f"structure holds NaN or infinity in row {row}; expected finite float32 values.")
    return EntityBatch(
        {
            "structure": structure,
            "visual_tokens": visual_tokens,
            "visual_mask": visual_mask,
            "text_tokens": text_tokens,
            "text_mask": text_mask,
        }
    )


def _modality(
    kind: str, tokens: Tokens, mask: NDArray[np.bool_] | None, bundle: Bundle
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Tokens int64 [n, count] and mask bool [n, count] with count >= 1, from arrays or ragged lists."""
    rows = bundle.config[f"{kind}_codebook_rows"]
    tokens = host_array(tokens)
    if isinstance(tokens, np.ndarray):
        array = tokens
        hidden = np.zeros(array.shape, dtype=bool) if mask is None else _array(f"{kind}_mask", mask)
    else:
        if mask is not None:
            raise QueryError(f"{kind}_mask goes with an array of {kind} tokens; lists are padded by themselves.")
        array, hidden = _padded(kind, tokens)
    if array.ndim != 2 or array.dtype.kind not in "iu":
        raise QueryError(f"{kind} tokens are {array.dtype} {list(array.shape)}; expected int64 [entities, tokens].")
    if hidden.shape != array.shape or hidden.dtype != bool:
        raise QueryError(f"{kind}_mask is {hidden.dtype} {list(hidden.shape)}; expected bool {list(array.shape)}.")
    limit = _most_tokens(kind, bundle)
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


def _most_tokens(kind: str, bundle: Bundle) -> int:
    """What the graphs were made for; attention over many more would take the memory of the machine."""
    return int(bundle.graphs["entity_encoder"]["axes"][f"{kind}_tokens"][2])


def _array(name: str, values: Any) -> NDArray[Any]:
    try:
        return np.asarray(host_array(values))
    except (TypeError, ValueError) as err:
        raise QueryError(f"{name} is {type(values).__name__}, which is no array ({err}).") from err


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
