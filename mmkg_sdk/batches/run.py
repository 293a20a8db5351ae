"""From a file of queries to a file of answers, whatever the task."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..answering.opened import Opened
from ..errors import DataError, missing_package
from ..files.folders import FolderKind, folder_lock
from ..version import __version__
from .formats import check_suffix, open_queries
from .parts import Counts, Parts, parts_folder
from .progress import progress
from .queries import Column, Rows, sha256_of, state_of

_FILE = FolderKind("file of answers", DataError, "Pass --overwrite to replace it.")


@dataclass(frozen=True)
class Answered:
    """What became of a file of queries.

    Attributes:
        rows: of the queries; bad: those of them that have no answer.
        answers: rows of the file of answers.
        resumed: rows that an earlier run had answered.
        output, bad_rows: the files; None where no row was bad.
    """

    rows: int
    bad: int
    answers: int
    resumed: int
    output: Path
    bad_rows: Path | None

    def to_json(self) -> dict[str, Any]:
        """The same as plain values."""
        counts = {"rows": self.rows, "bad": self.bad, "answers": self.answers, "resumed": self.resumed}
        return {**counts, "output": str(self.output), "bad_rows": self.bad_rows and str(self.bad_rows)}

    def __str__(self) -> str:
        before = f" ({self.resumed:,} of them before)" if self.resumed else ""
        bad = f"; {self.bad:,} bad rows, in {self.bad_rows}" if self.bad else ""
        return f"{self.rows:,} rows{before}: {self.answers:,} answers, in {self.output}{bad}"


@dataclass(frozen=True)
class Job:
    """What is done with the rows of a file.

    Attributes:
        columns: that are read.
        most: rows that are answered, and kept, together.
        options: what answers depend on besides the bundle and the rows, as plain values.
        answer: the table of some rows, in which `number` counts them from 0, and by the same number the rows without an
            answer, with the reason.
    """

    columns: tuple[Column, ...]
    most: int
    options: Mapping[str, Any]
    answer: Callable[[Rows], tuple[Any, dict[int, str]]]


def answer_file(
    opened: Opened,
    job: Job,
    queries: str | Path,
    output: str | Path,
    *,
    bad_rows: str | Path | None,
    overwrite: bool,
    show_progress: bool,
) -> Answered:
    """Answer every row of `queries`, and write `output`; the arguments and errors are those of `predict_file`."""
    path = Path(queries)
    target = Path(os.path.realpath(output))
    bad_target = Path(os.path.realpath(f"{target}.bad.jsonl" if bad_rows is None else bad_rows))
    _need_pyarrow()
    _check_places(path, target, bad_target, overwrite)
    state = state_of(path)
    file = open_queries(path, job.columns)
    work = _work(opened, job, path)
    with folder_lock(target, _FILE):
        parts = Parts.open(target, work, overwrite=overwrite)
        before = counts = parts.done()
        with progress(file.total, before.rows, shown=show_progress) as tell:
            for rows in file.rows(job.most, before.rows):
                counts += _answer(parts, job, rows)
                tell(rows.count)
        if not counts.rows:
            _answer(parts, job, Rows(0, 0, {}, typed=True, unreadable={}))
        if state_of(path) != state:
            raise DataError(f"{path} was changed while it was read. Begin anew with --overwrite (overwrite=True).")
        parts.finish(target, bad_target)
    found = bad_target if counts.bad else None
    return Answered(counts.rows, counts.bad, counts.answers, before.rows, target, found)


def _answer(parts: Parts, job: Job, rows: Rows) -> Counts:
    table, bad = job.answer(rows)
    numbers = table.column("number").to_numpy() + rows.first
    bad = {rows.first + row: reason for row, reason in {**bad, **rows.unreadable}.items()}
    table = table.set_column(0, "number", [numbers])
    parts.add(rows.first, rows.count, table, bad)
    return Counts(rows.count, len(bad), len(table))


def _check_places(queries: Path, output: Path, bad_rows: Path, overwrite: bool) -> None:
    check_suffix(queries, "queries")
    check_suffix(output, "answers")
    places = [Path(os.path.realpath(queries)), output, bad_rows]
    if len(set(places)) < len(places):
        raise DataError(f"{', '.join(map(str, places))}: queries, answers and bad rows are three files.")
    for path in places[1:]:
        if not path.parent.is_dir():
            raise DataError(f"{path} cannot be written: {path.parent} is no folder. Make it, or write elsewhere.")
        if path.exists() and not path.is_file():
            raise DataError(f"{path} is no regular file, and is left alone. Write elsewhere.")
    # The bad rows come first; of a run that was killed right behind that they are no reason to stop.
    taken = [output] if parts_folder(output).is_dir() else [output, bad_rows]
    for path in taken:
        if path.exists() and not overwrite:
            raise DataError(f"{path} exists already. Pass --overwrite (overwrite=True) to replace it.")


def _work(opened: Opened, job: Job, queries: Path) -> dict[str, Any]:
    """What the answers depend on, to the last digit."""
    import pyarrow

    bundle, backend = opened.bundle, opened.backend
    manifest = json.dumps(bundle.manifest, sort_keys=True).encode()
    return {
        "mmkg_sdk": __version__,
        "pyarrow": pyarrow.__version__,
        "task": opened.task,
        "bundle": hashlib.sha256(manifest).hexdigest(),
        "backend": "auto" if opened.compiled else backend.name,
        "device": backend.device,
        "threads": backend.threads,
        "queries": sha256_of(queries),
        "format": queries.suffix,
        **job.options,
    }


def _need_pyarrow() -> None:
    try:
        import pyarrow  # noqa: F401
    except ModuleNotFoundError as err:
        raise missing_package("pyarrow", "tables", "a file of queries") from err
