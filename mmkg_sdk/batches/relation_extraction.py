"""Relation extraction of a file: sentences with two things in them in, ranked relations out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..answering.answers.relations import ExtractedRelation, ExtractedRelations
from ..answering.ids import checked_k
from ..answering.relation_extraction import Extractor, RelationMention
from .queries import Column
from .run import Answered, Job, answer_file
from .texts import IMAGES, images_of, text_job

_COLUMNS = (Column("sentence"), Column("head"), Column("tail"), *IMAGES)


def extract_file(
    extractor: Extractor,
    queries: str | Path,
    output: str | Path,
    k: int = 1,
    *,
    bad_rows: str | Path | None = None,
    overwrite: bool = False,
    show_progress: bool = False,
) -> Answered:
    """Tell the relation in each row of a file, into another file with the columns of `ExtractedRelations.to_arrow`.

    Args:
        queries: with columns `sentence`, `head` and `tail` (words that stand in the sentence once), and `image` (a
            path), `aux` and `rcnn` (lists of paths; in CSV one path) if there are any.
        k: relations of each row, the likeliest first.
        bad_rows, overwrite, show_progress: as of `predict_file`, as are formats and errors.
    """
    job = extract_job(extractor, k)
    return answer_file(
        extractor, job, queries, output, bad_rows=bad_rows, overwrite=overwrite, show_progress=show_progress
    )


def extract_job(extractor: Extractor, k: int = 1) -> Job:
    """What `extract_file` does with rows; its arguments and errors."""
    k = checked_k(k)

    def query(cells: dict[str, Any]) -> RelationMention:
        return RelationMention(cells["sentence"], cells["head"], cells["tail"], images_of(cells))

    def answers(found: list[ExtractedRelation]) -> ExtractedRelations:
        return ExtractedRelations(found, k)

    return text_job(_COLUMNS, query, extractor.extract_relations, answers, {"k": k})
