"""Triples of one split: rows of ids, checked; repeats are kept and reported."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ...files.labels import Labels


def to_triples(rows: Sequence[Sequence[int]], path: Path) -> NDArray[np.int64]:
    """Triples int64 [triples, 3] of one split in file order.

    Repeated lines are kept, because published figures count every line: DB15K's validation split has 9,904 lines
    of which 7,481 are distinct. A UserWarning gives the count.
    """
    triples = np.array(rows, dtype=np.int64).reshape(-1, 3)
    repeated = len(triples) - len(np.unique(triples, axis=0))
    if repeated:
        warnings.warn(
            f"{path}: {repeated:,} of {len(triples):,} lines repeat an earlier one; they are kept, as published "
            "figures count them.",
            stacklevel=2,
        )
    return triples


def need_training(train: NDArray[np.int64], path: Path) -> None:
    """Raise DataError if the training split is empty."""
    if not len(train):
        raise DataError(f"{path} has no triples; a data set needs training triples (valid and test may be empty).")


def unknown_name(name: str, labels: Labels, path: Path, number: int) -> DataError:
    """The error for a name in a triple that is neither a label nor an id."""
    near = labels.near(name)
    ending = f"; near: {', '.join(repr(label) for label in near)}." if near else "."
    return DataError(f"{path}:{number}: unknown {labels.kind} {name[:80]!r} ({len(labels):,} are listed){ending}")
