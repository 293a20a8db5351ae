"""Encode: the entity encoder of a bundle for `ray.data.Dataset.map_batches`: what an entity has in, its vector out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...answering.link_prediction import Model
from ...errors import QueryError

if TYPE_CHECKING:
    import pyarrow


class Encode:
    """A link prediction bundle whose encoder takes new entities (MyGO, AdaMF-MAT), opened once an actor.

        entities.map_batches(Encode, fn_constructor_args=("bundle", ["visual_tokens", "text_tokens"]),
                             batch_format="pyarrow", batch_size=512, compute=ray.data.ActorPoolStrategy(size=8))

    Out come all columns of the batch, and `vector`, a list of float32 in each row: what `Model.encode_entities` gives.

    Args:
        path: of the bundle, on every machine.
        columns: those that are arguments of `Model.encode_entities`, by the same names: `visual_tokens` and
            `text_tokens` (lists of whole numbers, of any length) for MyGO, `visual_features` and `text_features` (lists
            of numbers, all of one length) for AdaMF-MAT, `structure` for both. Null is not taken: an empty list of
            tokens means that the entity lacks the modality.
        backend, device, threads: see `Answer`.

    Raises:
        BundleError, BackendError, QueryError: see `mmkg_sdk.load` and `Model.encode_entities`.
    """

    def __init__(
        self,
        path: str | Path,
        columns: list[str],
        *,
        backend: str = "auto",
        device: str = "auto",
        threads: int | None = None,
    ) -> None:
        self._columns = columns
        self._model = Model.load(path, backend, device, threads=threads)

    def __call__(self, batch: pyarrow.Table) -> pyarrow.Table:
        """The vectors of a batch."""
        import pyarrow

        if not isinstance(batch, pyarrow.Table):
            raise QueryError(
                f"a batch is {type(batch).__name__}; expected a pyarrow.Table. Pass batch_format='pyarrow'."
            )
        vectors = self._model.encode_entities(**{name: self._given(batch, name) for name in self._columns})
        width = self._model.table.shape[1]
        flat = pyarrow.array(vectors.reshape(-1), pyarrow.float32())
        return batch.append_column("vector", pyarrow.FixedSizeListArray.from_arrays(flat, width))

    def _given(self, batch: pyarrow.Table, name: str) -> Any:
        if name not in batch.column_names:
            raise QueryError(f"a batch has columns {batch.column_names!r:.200}; expected {name}.")
        column = batch.column(name)
        if column.null_count:
            raise QueryError(f"{name} is null in {column.null_count} rows of a batch; expected a list in each.")
        cells = column.to_pylist()
        if name.endswith("_tokens"):
            return cells
        try:
            return np.array(cells, np.float32)
        except (TypeError, ValueError) as err:
            raise QueryError(f"{name} has rows that are no lists of numbers of one length ({err}).") from err
