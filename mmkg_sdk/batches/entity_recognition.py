"""Entity recognition of a file: sentences in, named entities out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..answering.answers.entities import FoundEntities
from ..answering.entity_recognition import Tagger
from ..data.sentences import SentenceImages
from .queries import Column
from .run import Answered, Job, answer_file
from .texts import IMAGES, images_of, text_job

_COLUMNS = (Column("sentence"), *IMAGES)


def tag_file(
    tagger: Tagger,
    queries: str | Path,
    output: str | Path,
    *,
    bad_rows: str | Path | None = None,
    overwrite: bool = False,
    show_progress: bool = False,
) -> Answered:
    """Find the entities of each row of a file, into another file with the columns of `FoundEntities.to_arrow`.

    A sentence without an entity is in neither file.

    Args:
        queries: with a column `sentence`, and `image` (a path), `aux` and `rcnn` (lists of paths; in CSV one path) if
            there are any.
        bad_rows, overwrite, show_progress: as of `predict_file`, as are formats and errors.
    """
    job = tag_job(tagger)
    return answer_file(
        tagger, job, queries, output, bad_rows=bad_rows, overwrite=overwrite, show_progress=show_progress
    )


def tag_job(tagger: Tagger) -> Job:
    """What `tag_file` does with rows; its errors."""

    def query(cells: dict[str, Any]) -> tuple[str, SentenceImages]:
        return cells["sentence"], images_of(cells)

    def ask(queries: list[tuple[str, SentenceImages]]) -> FoundEntities:
        return tagger.tag([sentence for sentence, _ in queries], [images for _, images in queries])

    return text_job(_COLUMNS, query, ask, FoundEntities, {})
