"""Columns of a table of answers, and what pandas and pyarrow make of them without an object for each cell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...files.labels import Labels

if TYPE_CHECKING:
    import pandas
    import pyarrow


@dataclass(frozen=True, eq=False)
class Texts:
    """A column of texts.

    Attributes:
        places: int32 [rows]: which of the texts stands in each row.
        texts: no two are equal.
    """

    places: NDArray[np.int32]
    texts: Sequence[str]

    @classmethod
    def of(cls, texts: Iterable[str]) -> Texts:
        """A column of these, one a row."""
        known: dict[str, int] = {}
        places = np.fromiter((known.setdefault(text, len(known)) for text in texts), np.int32)
        return cls(places, list(known))

    def of_rows(self, rows: NDArray[np.int64]) -> Texts:
        """The texts of these rows, in this order."""
        return Texts(self.places[rows], self.texts)

    def tolist(self) -> list[str]:
        """The text of each row."""
        return [self.texts[place] for place in self.places.tolist()]


# Numbers of a row each, int64 or float32, or texts.
Column = NDArray[np.int64] | NDArray[np.float32] | Texts
Columns = Mapping[str, Column]


def labels_of(labels: Labels, *ids: NDArray[np.int64]) -> list[Texts]:
    """A column of labels for each array of ids; a label is taken once, however many rows have it."""
    used, places = np.unique(np.concatenate(ids), return_inverse=True)
    texts = labels.of_ids(used.tolist())
    parts = np.split(places.astype(np.int32), np.cumsum([len(part) for part in ids[:-1]]))
    return [Texts(part, texts) for part in parts]


def to_pandas(columns: Columns) -> pandas.DataFrame:
    """Texts have the dtype "str"."""
    import pandas

    def series(column: Column) -> Any:
        if isinstance(column, Texts):
            return pandas.Series(np.array(column.texts, object)[column.places], dtype="str")
        return pandas.Series(column)

    return pandas.DataFrame({name: series(column) for name, column in columns.items()})


def to_arrow(columns: Columns) -> pyarrow.Table:
    """Texts are dictionary<values=string, indices=int32>; numbers are the arrays themselves."""
    import pyarrow

    def array(column: Column) -> Any:
        if isinstance(column, Texts):
            return pyarrow.DictionaryArray.from_arrays(column.places, pyarrow.array(column.texts, pyarrow.string()))
        return pyarrow.array(column)

    return pyarrow.table({name: array(column) for name, column in columns.items()})
