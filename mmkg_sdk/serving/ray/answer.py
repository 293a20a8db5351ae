"""Answer: a bundle for `ray.data.Dataset.map_batches`: tables of queries in, the same with their answers out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from ...answering.ids import Names
from ...answering.opening import load
from ...batches.arrow import check_schema, rows_of
from ...batches.entity_linking import link_job
from ...batches.entity_recognition import tag_job
from ...batches.link_prediction import predict_job
from ...batches.relation_extraction import extract_job
from ...batches.run import Job
from ...errors import DataError, QueryError
from ...registry import ENTITY_LINKING, ENTITY_RECOGNITION, LINK_PREDICTION, RELATION_EXTRACTION

if TYPE_CHECKING:
    import pyarrow

_RANKED = {"ids": "id", "labels": "label", "scores": "score"}
_SPANS = ("word_start", "word_end", "character_start", "character_end")
# What answers a task, with which options, and the columns of its tables that become lists, by the names of those.
_TASKS: dict[str, tuple[Callable[..., Job], tuple[str, ...], dict[str, str]]] = {
    LINK_PREDICTION: (predict_job, ("k", "filter_known", "candidates"), _RANKED),
    ENTITY_LINKING: (link_job, ("k", "candidates"), _RANKED),
    RELATION_EXTRACTION: (extract_job, ("k",), _RANKED | {"labels": "relation"}),
    ENTITY_RECOGNITION: (tag_job, (), {f"{name}s": name for name in ("text", "kind", *_SPANS)}),
}


class Answer:
    """A bundle of any task, opened once an actor; its files are memory maps, so the actors of one machine share what is
    read of them.

        queries.map_batches(Answer, fn_constructor_args=("bundle",), batch_format="pyarrow", batch_size=1024,
                            compute=ray.data.ActorPoolStrategy(size=8))

    A batch has the columns of files of queries (`mmkg_sdk.batches`), and is answered as they are: for link prediction
    `relation`, and `head` or `tail` in each row, labels or ids. Out come all columns of the batch, and `ids`, `labels`
    and `scores`: lists, best first. Entity recognition gives `texts`, `kinds`, `word_starts`, `word_ends`,
    `character_starts` and `character_ends`, from left to right.

    Args:
        path: of the bundle, on every machine.
        k: answers per query; None takes the task's own default. Not for entity recognition.
        filter_known: see `Model.predict_tails`; for link prediction.
        candidates: rank only these entities; for link prediction and entity linking.
        bad_rows: "raise" an error for a row that cannot be answered, or "report" it: its lists are empty, and the
            column `error` says why. It is null in other rows.
        backend, device, threads: see `mmkg_sdk.load`. Ray sets OMP_NUM_THREADS to the CPUs of an actor, and that is the
            default for `threads`.

    Raises:
        DataError: a column lacks, has another type, or is there already.
        BundleError, BackendError, QueryError: see `mmkg_sdk.load` and the models' methods.
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
        job, names, self._lists = _TASKS[opened.task]
        options = {"k": k, "filter_known": filter_known, "candidates": candidates}
        given = {name: value for name, value in options.items() if value is not None}
        if odd := sorted(set(given) - set(names)):
            raise QueryError(f"{odd[0]} is not for {opened.task}; leave it out.")
        self._job = job(opened, **given)
        self._reports = bad_rows == "report"

    def __call__(self, batch: pyarrow.Table) -> pyarrow.Table:
        """The answers of a batch."""
        import pyarrow

        if not isinstance(batch, pyarrow.Table):
            raise QueryError(
                f"a batch is {type(batch).__name__}; expected a pyarrow.Table. Pass batch_format='pyarrow'."
            )
        check_schema("a batch", batch.schema, self._job.columns)
        if taken := [name for name in (*self._lists, "error") if name in batch.column_names]:
            raise DataError(f"a batch has a column {taken[0]!r}, which answers go to. Rename it.")
        found = pyarrow.concat_tables(self._answered(batch))
        for name in found.column_names:
            batch = batch.append_column(name, found.column(name))
        return batch

    def _answered(self, batch: pyarrow.Table) -> Iterator[pyarrow.Table]:
        """Tables of the answers, each of as many rows as are answered together; one at least."""
        for first in range(0, max(1, len(batch)), self._job.most):
            rows = rows_of(batch.slice(first, self._job.most), self._job.columns, first)
            found, bad = self._job.answer(rows)
            if bad and not self._reports:
                row = min(bad)
                raise QueryError(f"row {first + row} of {len(batch)}: {bad[row]}")
            yield self._in_lists(found, rows.count, bad)

    def _in_lists(self, found: pyarrow.Table, count: int, bad: dict[int, str]) -> pyarrow.Table:
        """Columns of one list a row: the answers, and what was wrong with the rows."""
        import pyarrow

        numbers = found.column("number").to_numpy()  # ascending
        offsets = pyarrow.array(np.searchsorted(numbers, np.arange(count + 1)), pyarrow.int32())
        columns = {}
        for name, column in self._lists.items():
            values = found.column(column).combine_chunks()
            if pyarrow.types.is_dictionary(values.type):
                values = values.cast(values.type.value_type)
            columns[name] = pyarrow.ListArray.from_arrays(offsets, values)
        if self._reports:
            columns["error"] = pyarrow.array([bad.get(row) for row in range(count)], pyarrow.string())
        return pyarrow.table(columns)
