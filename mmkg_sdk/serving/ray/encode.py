"""Encode: the entity encoder of a bundle for `ray.data.Dataset.map_batches`: what an entity has in, its vector out.

`encode_into` does so with a data set, and writes the bundle that has its entities.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...answering.link_prediction import Model
from ...errors import QueryError

if TYPE_CHECKING:
    import pyarrow
    import ray

# Before the names of outputs, so that they are not those of a data set's columns.
_OUTPUT = "encoded."


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
        vectors = self._model.encode_entities(**arguments(batch, self._columns))
        return batch.append_column("vector", _cells(vectors))


class _EncodeAll(Encode):
    """With all outputs of the encoder, which the table of a bundle has."""

    def __call__(self, batch: pyarrow.Table) -> pyarrow.Table:
        """All outputs, each in a column of its name."""
        import pyarrow

        given = self._model.entity_batch(**arguments(batch, self._columns))
        found = {_OUTPUT + name: _cells(array) for name, array in self._model.encode_batch(given).items()}
        return pyarrow.table({name: batch.column(name) for name in batch.column_names} | found)


def encode_into(
    bundle: str | Path,
    entities: ray.data.Dataset,
    out: str | Path,
    columns: list[str],
    *,
    label: str = "label",
    actors: int = 2,
    batch_size: int = 512,
    overwrite: bool = False,
    **options: Any,
) -> int:
    """Encode new entities by actors, and write the bundle that has them, too; `Model.add_entities` and `Model.save` say
    what that is.

    Args:
        bundle, columns: see `Encode`.
        entities: a row of each; ids follow their order.
        out: the folder of the new bundle; it appears whole or not at all.
        label: the column with their labels.
        actors: how many encode.
        batch_size: entities that go to an actor together.
        overwrite: replace a bundle that stands at `out`.
        options: of `map_batches`, for the actors, such as `num_cpus`.

    Returns:
        How many were added.

    Raises:
        BundleError, QueryError, ExportError: see `Model.add_entities` and `Model.save`. What goes wrong in an actor is
            an error of Ray with that inside.
    """
    import ray

    with Model.load(bundle, device="cpu") as model:
        before = len(model.entities)
        entities.context.execution_options.preserve_order = True
        encoded = entities.map_batches(
            _EncodeAll,
            fn_constructor_args=(str(Path(bundle).absolute()), columns),
            batch_format="pyarrow",
            batch_size=batch_size,
            compute=ray.data.ActorPoolStrategy(size=actors),
            **options,
        )
        for batch in encoded.iter_batches(batch_size=None, batch_format="pyarrow"):
            outputs = {
                name.removeprefix(_OUTPUT): _rows(batch.column(name))
                for name in batch.column_names
                if name.startswith(_OUTPUT)
            }
            model.add_encoded(_column(batch, label).to_pylist(), outputs, **arguments(batch, columns))
        added = len(model.entities) - before
        if not added:
            raise QueryError("the data set has no rows; expected one for each new entity.")
        model.save(out, overwrite=overwrite)
    return added


def arguments(batch: pyarrow.Table, columns: list[str]) -> dict[str, Any]:
    """Columns as the arguments of `Model.encode_entities`."""
    return {name: _given(batch, name) for name in columns}


def _given(batch: pyarrow.Table, name: str) -> Any:
    cells = _column(batch, name).to_pylist()
    if name.endswith("_tokens"):
        return cells
    try:
        return np.array(cells, np.float32)
    except (TypeError, ValueError) as err:
        raise QueryError(f"{name} has rows that are no lists of numbers of one length ({err}).") from err


def _column(batch: pyarrow.Table, name: str) -> Any:
    if name not in batch.column_names:
        raise QueryError(f"a batch has columns {batch.column_names!r:.200}; expected {name}.")
    column = batch.column(name)
    if column.null_count:
        raise QueryError(f"{name} is null in {column.null_count} rows of a batch; expected a value in each.")
    return column


def _cells(array: NDArray[np.float32]) -> Any:
    """A matrix as a column of lists."""
    import pyarrow

    flat = pyarrow.array(array.reshape(-1), pyarrow.float32())
    return pyarrow.FixedSizeListArray.from_arrays(flat, array.shape[1])


def _rows(column: Any) -> NDArray[np.float32]:
    """What `_cells` made, as a matrix again."""
    flat = column.combine_chunks().flatten().to_numpy()
    found: NDArray[np.float32] = flat.reshape(len(column), -1)
    return found
