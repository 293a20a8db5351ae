"""Entity linking of a file: mentions in sentences in, ranked entities out."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from ..answering.answers.links import Link, Links
from ..answering.entity_linking import Linker
from ..answering.ids import Names, checked_k, to_ids
from ..data.mentions import Mention
from .queries import Column
from .run import Answered, Job, answer_file
from .texts import text_job

_COLUMNS = (Column("mention"), Column("sentence", needed=False), Column("image", needed=False))


def link_file(
    linker: Linker,
    queries: str | Path,
    output: str | Path,
    k: int = 5,
    *,
    candidates: Names | None = None,
    explain: bool = False,
    bad_rows: str | Path | None = None,
    overwrite: bool = False,
    show_progress: bool = False,
) -> Answered:
    """Link the mention in each row of a file, into another file with the columns of `Links.to_arrow`.

    Args:
        queries: with a column `mention`, and `sentence` and `image` (a path) if there are any.
        k, candidates, explain: as of `Linker.link_mentions`.
        bad_rows, overwrite, show_progress: as of `predict_file`, as are formats and errors.
    """
    job = link_job(linker, k, candidates=candidates, explain=explain)
    return answer_file(
        linker, job, queries, output, bad_rows=bad_rows, overwrite=overwrite, show_progress=show_progress
    )


def link_job(linker: Linker, k: int = 5, *, candidates: Names | None = None, explain: bool = False) -> Job:
    """What `link_file` does with rows; its arguments and errors."""
    k = checked_k(k)
    chosen = None if candidates is None else np.unique(to_ids(candidates, linker.entities))

    def ask(mentions: list[Mention]) -> Links:
        return linker.link_mentions(mentions, k, candidates=chosen, explain=explain)

    units = ask([]).units

    def query(cells: dict[str, Any]) -> Mention:
        return Mention(cells["mention"], cells["sentence"] or "", cells["image"])

    def answers(links: list[Link]) -> Links:
        return Links(links, k, units)

    ids = None if chosen is None else hashlib.sha256(chosen.tobytes()).hexdigest()
    return text_job(_COLUMNS, query, ask, answers, {"k": k, "explain": explain, "candidates": ids})
