"""From what callers pass (labels or ids, one or many) to checked int64 ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import QueryError
from .labels import Labels

# One label or id, or a sequence or array of them.
Names = str | int | Sequence[str] | Sequence[int] | NDArray[Any]


def to_ids(names: Names, labels: Labels) -> NDArray[np.int64]:
    """Ids int64 [n] of labels or ids; a single one gives n = 1.

    Raises:
        QueryError: unknown label (with near ones), id out of range, or a value that is neither; with its position.
    """
    if isinstance(names, (str, int, np.integer)) and not isinstance(names, (bool, np.bool_)):
        names = [names]  # type: ignore[list-item]
    if hasattr(names, "detach"):  # a torch tensor
        names = names.detach().cpu().numpy()
    if isinstance(names, np.ndarray):
        return _checked_array(names, labels)
    if isinstance(names, (bytes, dict, set)) or not hasattr(names, "__iter__"):
        raise QueryError(
            f"{labels.kind} is {names!r:.60} ({type(names).__name__}); expected a label, an id, or a list of them."
        )
    values = list(names)
    return np.array([_to_id(value, labels, i, len(values)) for i, value in enumerate(values)], dtype=np.int64)


def paired_ids(
    first: tuple[str, Names, Labels], second: tuple[str, Names, Labels]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Two aligned id arrays; a single one is repeated for each of the other.

    Raises:
        QueryError: as `to_ids`, and if both are many but not equally many.
    """
    left, right = to_ids(first[1], first[2]), to_ids(second[1], second[2])
    if len(left) == len(right):
        return left, right
    if _is_single(first[1]):
        return np.repeat(left, len(right)), right
    if _is_single(second[1]):
        return left, np.repeat(right, len(left))
    raise QueryError(
        f"{len(left)} {first[0]} and {len(right)} {second[0]}; expected equally many, or a single one to pair with all."
    )


def _is_single(names: Names) -> bool:
    return isinstance(names, (str, int, np.integer))


def _checked_array(array: NDArray[Any], labels: Labels) -> NDArray[np.int64]:
    if array.ndim != 1:
        raise QueryError(f"{labels.kind} array has shape {list(array.shape)}; expected one axis.")
    if array.dtype.kind in "US" or array.dtype == object:
        return to_ids([v if isinstance(v, str) else v for v in array.tolist()], labels)
    if array.dtype.kind not in "iu":
        raise QueryError(f"{labels.kind} array has dtype {array.dtype}; expected labels or integer ids.")
    wrong = np.flatnonzero((array < 0) | (array >= len(labels)))
    if len(wrong):
        raise QueryError(_range_message(array[wrong[0]], labels, int(wrong[0]), len(array)))
    return np.ascontiguousarray(array, dtype=np.int64)


def _to_id(value: Any, labels: Labels, position: int, count: int) -> int:
    where = f"(number {position} of {count})"
    if isinstance(value, str):
        found = labels.find(value)
        if found is None:
            near = labels.near(value)
            hint = f"near: {', '.join(map(repr, near))}" if near else "none is near"
            raise QueryError(f"unknown {labels.kind} {value!r:.120} {where}. There are {len(labels):,}; {hint}.")
        return found
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise QueryError(
            f"{labels.kind} {where} is {value!r:.60} ({type(value).__name__}); expected a label or an integer id."
        )
    if not 0 <= value < len(labels):
        raise QueryError(_range_message(value, labels, position, count))
    return int(value)


def _range_message(value: Any, labels: Labels, position: int, count: int) -> str:
    return f"{labels.kind} id {value} (number {position} of {count}) is out of range; ids are 0 to {len(labels) - 1:,}."
