"""Cells: a column of some rows of a file, with an object for each distinct value and not for each cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Cells:
    """A column.

    Attributes:
        places: int64 [rows]: which value stands in each row, -1 for null.
        values: what stands somewhere: texts and whole numbers are distinct, and of other kinds there is one a row.
    """

    places: NDArray[np.int64]
    values: list[Any]

    @classmethod
    def of(cls, cells: Sequence[Any]) -> Cells:
        """A column of these values; None is null."""
        known: dict[Any, int] = {}
        values: list[Any] = []
        places = np.full(len(cells), -1, np.int64)
        for row, value in enumerate(cells):
            if value is None:
                continue
            kind = type(value)
            place = known.setdefault(value, len(values)) if kind is str or kind is int else len(values)
            if place == len(values):
                values.append(value)
            places[row] = place
        return cls(places, values)

    @classmethod
    def of_arrow(cls, array: Any) -> Cells:
        """A column of Arrow: texts, whole numbers or lists of texts, as such or as a dictionary."""
        import pyarrow

        if pyarrow.types.is_nested(array.type) or pyarrow.types.is_null(array.type):
            return cls.of(array.to_pylist())
        encoded = array if pyarrow.types.is_dictionary(array.type) else array.dictionary_encode()
        places = encoded.indices.cast(pyarrow.int64()).fill_null(-1).to_numpy(zero_copy_only=False)
        used, rows = np.unique(places, return_inverse=True)
        values = encoded.dictionary.take(pyarrow.array(used[used >= 0]))
        return cls(rows - int(bool(len(used)) and used[0] < 0), _objects(values))

    def tolist(self) -> list[Any]:
        """The value of each row."""
        return [None if place < 0 else self.values[place] for place in self.places.tolist()]

    def part(self, start: int) -> Cells:
        """The rows from one on."""
        return Cells(self.places[start:], self.values)


def _objects(values: Any) -> list[Any]:
    """Values of Arrow as objects; bytes that are not UTF-8, which no reader has looked for, become half characters."""
    import pyarrow

    try:
        found: list[Any] = values.to_pylist()
    except UnicodeDecodeError:
        found = [text.decode("utf-8", "surrogateescape") for text in values.cast(pyarrow.large_binary()).to_pylist()]
    return found
