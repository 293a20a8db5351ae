"""EntityBatch: checked inputs of an entity encoder, and what every family checks in the same way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bundle import Bundle
from ..errors import QueryError


@dataclass(frozen=True)
class EntityBatch:
    """Checked inputs of the encoder graphs: name -> array with one row per entity.

    Attributes:
        token_count: how many vectors the encoder mixes for one entity.
        has_structure: the structural embeddings are the entities' own, and not the mean of the trained ones.
    """

    arrays: dict[str, NDArray[Any]]
    token_count: int
    has_structure: bool = True

    def __len__(self) -> int:
        return len(self.arrays["structure"])

    def rows(self, rows: slice | NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """The arrays of some entities."""
        return {name: array[rows] for name, array in self.arrays.items()}

    def blocks(self, size: int) -> Iterator[EntityBatch]:
        """So many entities at a time."""
        for start in range(0, len(self), size):
            yield replace(self, arrays=self.rows(slice(start, start + size)))

    def own(self) -> dict[str, NDArray[Any]]:
        """A copy of what is the entities' own: all but a mean of structures."""
        return {name: array.copy() for name, array in self.arrays.items() if self.has_structure or name != "structure"}


def of_one_width(parts: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """Arrays with one row per entity, those of tokens and their masks filled up behind to the widest: masked.

    Args:
        parts: of one input of an encoder, of entities one behind the other.
    """
    if parts[0].ndim < 2 or parts[0].dtype.kind == "f":
        return list(parts)
    width, masked = max(part.shape[1] for part in parts), parts[0].dtype == bool
    return [
        np.pad(part, ((0, 0), (0, width - part.shape[1])), constant_values=masked) if part.shape[1] < width else part
        for part in parts
    ]


def as_array(name: str, values: Any) -> NDArray[Any]:
    """A caller's array-like as an array on the host.

    Raises:
        QueryError: it is none.
    """
    try:
        return np.asarray(host_array(values))
    except (TypeError, ValueError) as err:
        raise QueryError(f"{name} is {type(values).__name__}, which is no array ({err}).") from err


def by_modality(
    what: str, given: Mapping[str, Any] | None, spelled: Mapping[str, Any], modalities: Sequence[str]
) -> dict[str, Any]:
    """What a caller gives of each modality, by name or in the spelling of a published one.

    Args:
        what: the keyword, for messages.
        spelled: by modality; None was not given.
        modalities: of the model.

    Raises:
        QueryError: no mapping, another modality, or one that is given in both ways.
    """
    if not isinstance(given, Mapping | None):
        raise QueryError(f"{what} is {type(given).__name__}; expected a mapping from modality to array.")
    found = dict(given or {})
    for name in found:
        if name not in modalities:
            raise QueryError(f"{what} has {name!r:.80}; the modalities of this model are {', '.join(modalities)}.")
        if spelled.get(name) is not None:
            raise QueryError(f"{what} has {name!r}, which is given as a keyword of its own, too. Leave one out.")
    return found | {name: value for name, value in spelled.items() if value is not None}


def float_rows(name: str, values: Any, shape: tuple[int, int]) -> NDArray[np.float32]:
    """A caller's numbers as finite float32 of a shape.

    Raises:
        QueryError: no numbers, another shape, NaN or infinity.
    """
    array = as_array(name, values)
    if array.shape != shape or array.dtype.kind not in "fiu":
        raise QueryError(f"{name} is {array.dtype} {list(array.shape)}; expected float32 {list(shape)}.")
    with np.errstate(over="ignore"):  # a double beyond float32 becomes infinite, which is refused
        array = np.ascontiguousarray(array, dtype=np.float32)
    if not np.isfinite(array).all():
        row = np.flatnonzero(~np.isfinite(array).all(axis=1))[0]
        raise QueryError(f"{name} holds NaN or infinity in row {row}; expected finite float32 values.")
    return array


def structure_rows(structure: Any, bundle: Bundle, count: int) -> NDArray[np.float32]:
    """The structural embeddings of new entities; None takes the mean of the trained ones of a bundle."""
    if structure is None:
        return np.broadcast_to(bundle.mean_structure, (count, bundle.mean_structure.shape[1]))  # one row in memory
    return float_rows("structure", structure, (count, bundle.inputs["structure"].shape[1]))


def host_array(values: Any) -> Any:
    """A torch tensor, on any device, as an array; anything else as it is.

    Raises:
        QueryError: a tensor that numpy cannot hold (sparse, quantised, bfloat16).
    """
    if not hasattr(values, "detach"):
        return values
    try:
        return values.detach().cpu().numpy()
    except (TypeError, RuntimeError) as err:
        raise QueryError(f"a tensor of type {values.dtype} has no array form ({err}); pass a numpy array.") from err
