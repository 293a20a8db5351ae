"""Link prediction of a file: heads, relations and tails in, ranked entities out."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..answering.candidates import Candidates
from ..answering.ids import Names, checked_k
from ..answering.link_prediction import Model
from ..files.labels import Labels
from ..ranking.known_triples import HEAD, TAIL, Queries
from .cells import Cells
from .queries import Column, Rows
from .run import Answered, Job, answer_file

_COLUMNS = (Column("relation", "name"), Column("head", "name", needed=False), Column("tail", "name", needed=False))
# Rows that are answered together: as many as kernels answer in a fraction of a second, or graphs in some seconds.
_ROWS, _ROWS_BY_GRAPHS = 8192, 512
# Answers that are in memory together, some 50 bytes each.
_ANSWERS = 1 << 18


def predict_file(
    model: Model,
    queries: str | Path,
    output: str | Path,
    k: int = 10,
    *,
    filter_known: bool | None = None,
    candidates: Names | Candidates | None = None,
    bad_rows: str | Path | None = None,
    overwrite: bool = False,
    show_progress: bool = False,
) -> Answered:
    """Answer each row of a file, (head, relation, ?) or (?, relation, tail), into another file.

    The formats are told by the suffixes: `.parquet`, `.csv` or `.jsonl`, in any combination. The columns of the answers
    are those of `Predictions.to_arrow`, where `number` is the number of the row, from 0. Memory does not grow with the
    files. A run that was interrupted goes on where it stopped when it is repeated, and the file is the same.

    Args:
        queries: with columns `relation`, `head` and `tail`: labels or ids. In each row one of head and tail is null, or
            the file lacks that column. Other columns are passed over.
        k, filter_known, candidates: as of `Model.predict_tails`.
        bad_rows: where rows that cannot be answered are named, as JSON lines of `row` and `reason`; None takes
            OUTPUT.bad.jsonl. There is no file where there are none.
        overwrite: replace files that stand there, and parts of other work.
        show_progress: a bar on stderr, if that is a terminal.

    Raises:
        DataError: a file cannot be read or written, exists already, or was begun with other options.
        QueryError: k out of range, an unknown candidate.
        BackendError: the graph failed or gave NaN, or pyarrow is not installed.
    """
    job = predict_job(model, k, filter_known=filter_known, candidates=candidates)
    return answer_file(model, job, queries, output, bad_rows=bad_rows, overwrite=overwrite, show_progress=show_progress)


def predict_job(
    model: Model, k: int = 10, *, filter_known: bool | None = None, candidates: Names | Candidates | None = None
) -> Job:
    """What `predict_file` does with rows; its arguments and errors."""
    k = checked_k(k)
    chosen = None if candidates is None else model.candidates(candidates)

    def answer(rows: Rows) -> tuple[Any, dict[int, str]]:
        asked, kept, bad = _queries(rows, model)
        found = model.predict_queries(asked, k, filter_known=filter_known, candidates=chosen)
        table = found.to_arrow()
        return table.set_column(0, "number", [kept[table.column("number").to_numpy()]]), bad

    options = {
        "k": k,
        "filter_known": filter_known,
        "candidates": None if chosen is None else hashlib.sha256(chosen.ids.tobytes()).hexdigest(),
        "entities": len(model.entities),
    }
    most = min(_ROWS if model.has_stand_ins else _ROWS_BY_GRAPHS, max(1, _ANSWERS // k))
    return Job(_COLUMNS, most, options, answer)


def _queries(rows: Rows, model: Model) -> tuple[Queries, NDArray[np.int64], dict[int, str]]:
    """The queries of the rows that are right, which rows those are, and what is wrong with the others."""
    wrong: dict[int, str] = {}
    relation = _ids(rows["relation"], model.relations, rows.typed, wrong)
    head = _ids(rows["head"], model.entities, rows.typed, wrong)
    tail = _ids(rows["tail"], model.entities, rows.typed, wrong)
    no_head, no_tail = rows["head"].places < 0, rows["tail"].places < 0
    for reason, places in (
        ("relation is null", rows["relation"].places < 0),
        ("head and tail are null; expected one of them", no_head & no_tail),
        ("neither head nor tail is null, so nothing is asked for", ~no_head & ~no_tail),
    ):
        for row in np.flatnonzero(places).tolist():
            wrong.setdefault(row, reason)
    right = np.ones(rows.count, bool)
    right[[*wrong, *rows.unreadable]] = False
    kept = np.flatnonzero(right)
    entity, direction = np.where(no_tail, head, tail)[kept], np.where(no_tail, TAIL, HEAD)[kept]
    return Queries(entity, relation[kept], direction), kept, wrong


def _ids(cells: Cells, labels: Labels, typed: bool, wrong: dict[int, str]) -> NDArray[np.int64]:
    """The id in each row, -1 where there is none; why not is added to `wrong`, by row."""
    texts = [value for value in cells.values if isinstance(value, str)]
    known = dict(zip(texts, labels.find_all(texts).tolist(), strict=True))
    ids = np.empty(len(cells.values) + 1, np.int64)
    ids[-1] = -1  # of null
    reasons: dict[int, str] = {}
    for place, value in enumerate(cells.values):
        found = _id(value, known, labels, typed)
        ids[place] = found if isinstance(found, int) else -1
        if isinstance(found, str):
            reasons[place] = found
    if reasons:
        of_row = cells.places.tolist()
        for row in np.flatnonzero(np.isin(cells.places, list(reasons))).tolist():
            wrong.setdefault(row, reasons[of_row[row]])
    return ids[cells.places]


def _id(value: Any, known: dict[str, int], labels: Labels, typed: bool) -> int | str:
    """An id, or why there is none."""
    if isinstance(value, str):
        if known[value] >= 0:
            return known[value]
        if typed or not (value.isascii() and value.isdecimal() and len(value) < 20):
            return f"unknown {labels.kind} {value!r:.120}"
        value = int(value)
    if type(value) is not int:
        return f"{labels.kind} is {value!r:.60} ({type(value).__name__}); expected a label or an id"
    if not 0 <= value < len(labels):
        return f"{labels.kind} id {value!r:.30} is out of range; ids are 0 to {len(labels) - 1:,}"
    return value
