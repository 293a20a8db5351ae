"""Answer: a bundle for `ray.data.Dataset.map_batches`: tables of queries in, the same with their answers out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ...answering.answers.answer import Answers
from ...answering.entity_linking import Linker
from ...answering.ids import Names
from ...answering.link_prediction import Model
from ...answering.opening import load
from ...data.mentions import Mention
from ...errors import BundleError, QueryError

if TYPE_CHECKING:
    import pyarrow

# How a task asks some rows by their columns, and what it gives for which of them.
Asked = list[tuple[list[int], Answers[Any]]]


class Answer:
    """A link prediction or entity linking bundle, opened once an actor; its files are memory maps, so the actors of one
    machine share what is read of them.

        queries.map_batches(Answer, fn_constructor_args=("bundle",), batch_format="pyarrow", batch_size=1024,
                            compute=ray.data.ActorPoolStrategy(size=8))

    A batch of link prediction has columns `relation` and `head` or `tail` or both, of which each row has one: labels or
    ids. One of entity linking has `mention`, and `sentence` and `image` (a path) if there are any. Out come all columns
    of the batch, and `ids`, `labels` and `scores`: lists, best first.

    Args:
        path: of the bundle, on every machine.
        k: answers per query; None takes the model's own default.
        filter_known: see `Model.predict_tails`; not for entity linking.
        candidates: rank only these entities.
        bad_rows: "raise" an error for a row that cannot be answered, or "report" it: its lists are empty, and the
            column `error` says why. It is null in other rows.
        backend, device, threads: see `mmkg_sdk.load`. Ray sets OMP_NUM_THREADS to the CPUs of an actor, and that is the
            default for `threads`.

    Raises:
        BundleError: also for a bundle of another task.
        BackendError, QueryError: see `mmkg_sdk.load` and the models' methods.
    """

    def __init__(
        self,
        path: str | Path,
        k: int | None = None,
        *,
        filter_known: bool | None = None,
        candidates: Names | None = None,
        bad_rows: Literal["raise", "report"] = "raise",
        backend: str = "auto",
        device: str = "auto",
        threads: int | None = None,
    ) -> None:
        if bad_rows not in ("raise", "report"):
            raise QueryError(f"bad_rows is {bad_rows!r:.60}; expected 'raise' or 'report'.")
        opened = load(path, backend, device, threads=threads)
        self._reports = bad_rows == "report"
        options: dict[str, Any] = {} if k is None else {"k": k}
        self._ask: Callable[[dict[str, list[Any]]], Asked]
        if isinstance(opened, Model):
            chosen = None if candidates is None else opened.candidates(candidates)
            options |= {"filter_known": filter_known, "candidates": chosen}
            self._ask = lambda columns: _predicted(opened, columns, options)
        elif isinstance(opened, Linker):
            if filter_known is not None:
                raise QueryError("filter_known is for link prediction; leave it out.")
            options["candidates"] = candidates
            self._ask = lambda columns: _linked(opened, columns, options)
        else:
            raise BundleError(f"{path} is for {opened.task}; expected a bundle for link prediction or entity linking.")

    def __call__(self, batch: pyarrow.Table) -> pyarrow.Table:
        """The answers of a batch."""
        import pyarrow

        if not isinstance(batch, pyarrow.Table):
            raise QueryError(
                f"a batch is {type(batch).__name__}; expected a pyarrow.Table. Pass batch_format='pyarrow'."
            )
        columns = {name: batch.column(name).to_pylist() for name in batch.column_names}
        found = pyarrow.concat_tables(self._answered(columns, 0, len(batch)))
        for name in found.column_names:
            batch = batch.append_column(name, found.column(name))
        return batch

    def _answered(self, columns: dict[str, list[Any]], start: int, stop: int) -> list[Any]:
        """Tables of the answers of some rows; where one is wrong, halves are asked apart."""
        rows = {name: values[start:stop] for name, values in columns.items()}
        try:
            return [_in_lists(self._ask(rows), stop - start, None, self._reports)]
        except QueryError as err:
            if not self._reports:
                raise
            if stop - start == 1:
                return [_in_lists([], 1, str(err), self._reports)]
        middle = (start + stop) // 2
        return [*self._answered(columns, start, middle), *self._answered(columns, middle, stop)]


def _predicted(model: Model, columns: dict[str, list[Any]], options: dict[str, Any]) -> Asked:
    count = len(columns.get("relation", ()))
    none: list[Any] = [None] * count
    relations, heads, tails = (columns.get(name, none) for name in ("relation", "head", "tail"))
    if "relation" not in columns:
        raise QueryError(f"a batch has columns {sorted(columns)!r:.200}; expected relation, and head or tail.")
    for number, (head, relation, tail) in enumerate(zip(heads, relations, tails, strict=True)):
        if relation is None or (head is None) == (tail is None):
            raise QueryError(
                f"row {number} of {count} is ({head!r:.60}, {relation!r:.60}, {tail!r:.60}); expected a relation, and "
                "either head or tail. The other is null."
            )
    by_head, by_tail = ([row for row in range(count) if side[row] is not None] for side in (heads, tails))
    found: Asked = []
    if by_head or not count:
        asked = [heads[row] for row in by_head], [relations[row] for row in by_head]
        found.append((by_head, model.predict_tails(*asked, **options)))
    if by_tail:
        asked = [relations[row] for row in by_tail], [tails[row] for row in by_tail]
        found.append((by_tail, model.predict_heads(*asked, **options)))
    return found


def _linked(linker: Linker, columns: dict[str, list[Any]], options: dict[str, Any]) -> Asked:
    if "mention" not in columns:
        raise QueryError(f"a batch has columns {sorted(columns)!r:.200}; expected mention.")
    none: list[Any] = [None] * len(columns["mention"])
    texts = zip(*(columns.get(name, none) for name in ("mention", "sentence", "image")), strict=True)
    mentions = [Mention(mention, sentence or "", image) for mention, sentence, image in texts]
    return [(list(range(len(mentions))), linker.link_mentions(mentions, **options))]


def _in_lists(found: Asked, count: int, error: str | None, reports: bool) -> Any:
    """Columns of one list a row: ids, labels and scores, and what was wrong with the rows."""
    import pyarrow

    tables = [answers.to_arrow() for _, answers in found]
    places = [
        np.array(rows, np.int64)[table["number"].to_numpy()] for (rows, _), table in zip(found, tables, strict=True)
    ]
    rows = np.concatenate([np.empty(0, np.int64), *places])
    order = np.argsort(rows, kind="stable")
    offsets = pyarrow.array(np.searchsorted(rows[order], np.arange(count + 1)), pyarrow.int32())
    columns = {}
    for name, column, kind in (
        ("ids", "id", pyarrow.int64()),
        ("labels", "label", pyarrow.string()),
        ("scores", "score", pyarrow.float32()),
    ):
        parts = [table[column].cast(kind).combine_chunks() for table in tables]
        values = pyarrow.concat_arrays([pyarrow.array([], kind), *parts]).take(pyarrow.array(order))
        columns[name] = pyarrow.ListArray.from_arrays(offsets, values)
    if reports:
        columns["error"] = pyarrow.array([error] * count, pyarrow.string())
    return pyarrow.table(columns)
