"""From what callers pass to checked values: labels or ids to int64 ids; labels of new entities; how many answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import QueryError
from ..families.entity_batch import host_array
from ..files.labels import Labels, is_line

# One label or id, or a sequence or array of them.
Names = str | int | Sequence[str | int] | NDArray[Any]


MAX_K = 3840


def checked_k(k: Any) -> int:
    """How many answers, 1 to 3,840.

    Raises:
        QueryError: another number, or none.
    """
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or not 1 <= k <= MAX_K:
        raise QueryError(f"k is {k!r:.60}; expected a whole number from 1 to {MAX_K:,}.")
    return int(k)


def skips_unreadable(unreadable: Any) -> bool:
    """Whether an image that cannot be read is none ("none") or an error ("error").

    Raises:
        QueryError: neither was said.
    """
    if unreadable not in ("error", "none"):
        raise QueryError(f"unreadable is {unreadable!r:.60}; expected 'error' or 'none'.")
    return bool(unreadable == "none")


def to_ids(names: Names, labels: Labels) -> NDArray[np.int64]:
    """Ids int64 [n] of labels or ids; a single one gives n = 1.

    Raises:
        QueryError: unknown label (with near ones), id out of range, or a value that is neither; with its position.
    """
    if type(names) is str and (known := labels.find(names)) is not None:  # the usual query
        return np.array([known], dtype=np.int64)
    given: Any = host_array(names)
    if isinstance(given, (str, int, np.integer)) and not isinstance(given, bool):
        given = [given]
    if isinstance(given, np.ndarray):
        return _checked_array(given, labels)
    if isinstance(given, (bytes, bytearray, memoryview, dict, set, frozenset)) or not hasattr(given, "__iter__"):
        raise QueryError(
            f"{labels.kind} is {given!r:.60} ({type(given).__name__}); expected a label, an id, or a list of them."
        )
    values = list(given)
    if len(values) > 1 and all(type(value) is str for value in values):
        ids = labels.find_all(values)
        if (ids >= 0).all():
            return ids
    return np.array([_to_id(value, labels, i, len(values)) for i, value in enumerate(values)], dtype=np.int64)


def aligned_ids(*columns: tuple[str, Names, Labels]) -> list[NDArray[np.int64]]:
    """Id arrays of one length from (name, values, labels); a single value is repeated for each of the others.

    Raises:
        QueryError: as `to_ids`, and if two are many but not equally many.
    """
    arrays = [to_ids(values, labels) for _, values, labels in columns]
    if all(len(array) == 1 for array in arrays):
        return arrays
    lengths = {len(array) for array, (_, values, _) in zip(arrays, columns, strict=True) if not _is_single(values)}
    if len(lengths) > 1:
        found = " and ".join(f"{len(array)} {name}" for array, (name, _, _) in zip(arrays, columns, strict=True))
        raise QueryError(f"{found}; expected equally many, or a single one to pair with all.")
    length = max(lengths, default=1)
    return [np.repeat(array, length) if len(array) != length else array for array in arrays]


def check_new_labels(labels: Sequence[str], known: Labels) -> None:
    """Raise QueryError: a label is no text, taken, or nothing that a file of labels can hold."""
    for label in labels:
        if not isinstance(label, str):
            raise QueryError(f"entity label is {label!r:.60} ({type(label).__name__}); expected a string.")
    if (taken := known.taken(labels)) is not None:
        raise QueryError(f"entity {taken!r:.120} exists already. Choose another label.")
    if (wrong := next((label for label in labels if not is_line(label)), None)) is not None:
        raise QueryError(
            f"entity label {wrong!r:.120} begins with a byte order mark or holds half of a surrogate pair, which no "
            "file of labels can hold. Choose another label."
        )


def _is_single(names: Names) -> bool:
    return isinstance(names, (str, int, np.integer))


def _checked_array(array: NDArray[Any], labels: Labels) -> NDArray[np.int64]:
    if array.ndim != 1:
        raise QueryError(f"{labels.kind} array has shape {list(array.shape)}; expected one axis.")
    if array.dtype.kind in "US" or array.dtype == object:
        return to_ids(array.tolist(), labels)
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
