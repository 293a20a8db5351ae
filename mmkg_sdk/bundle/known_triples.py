"""Triples in a bundle, and the index of them that is stored beside: in range, and the one what the others give."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import BundleError
from ..ranking.known_triples import KnownTriples
from .contents import KNOWN_TRIPLES

Arrays = Mapping[str, NDArray[np.int64]]


def check_triples(folder: Path, splits: Arrays, entities: int, relations: int) -> None:
    """Whether every triple names entities and relations that there are.

    Raises:
        BundleError: one does not.
    """
    limits = np.array([entities, relations, entities])
    for split, triples in splits.items():
        if not len(triples) or (triples.min() >= 0 and (triples.max(axis=0) < limits).all()):
            continue
        row = np.flatnonzero(((triples < 0) | (triples >= limits)).any(axis=1))[0]
        path = folder / "triples.safetensors"
        raise BundleError(f"{path}: triple {row} of {split} is {triples[row].tolist()}; out of range.")


def check_index(folder: Path, arrays: Arrays, entities: int, relations: int) -> None:
    """Whether a stored index can be searched and names what there is. That it is the right one, verification tells.

    Raises:
        BundleError: an array is too long or short, not in order, or names what there is not.
    """
    keys, offsets, answers = (arrays[name] for name in ("keys", "offsets", "answers"))
    if len(offsets) != len(keys) + 1 or offsets[0] != 0 or offsets[-1] != len(answers) or (np.diff(offsets) < 1).any():
        raise _damaged(folder, f"the offsets do not cut {len(answers):,} answers into those of {len(keys):,} queries")
    if not len(keys):
        return
    if keys[0] < 0 or (np.diff(keys) < 1).any() or keys[-1] >> 33 >= relations or _entity(keys).max() >= entities:
        raise _damaged(folder, "the keys are not ascending, or one names what there is not")
    rising = np.diff(answers) > 0
    rising[offsets[1:-1] - 1] = True  # from one query to the next
    if not rising.all() or answers.min() < 0 or answers.max() >= entities:
        raise _damaged(folder, "the answers of a query are not ascending, or one is no entity")


def check_index_is_of(folder: Path, arrays: Arrays, triples: NDArray[np.int64]) -> None:
    """Whether a stored index is what the triples give.

    Raises:
        BundleError: it is not.
    """
    for name, expected in KnownTriples(triples).arrays().items():
        if not np.array_equal(arrays[name], expected):
            raise _damaged(folder, f"its {name} are not those of the triples")


def _entity(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    return keys & ((1 << 32) - 1)


def _damaged(folder: Path, what: str) -> BundleError:
    return BundleError(f"{folder / KNOWN_TRIPLES}.safetensors: {what}. Export the bundle again.")
