"""mmkg-sdk extract."""

from __future__ import annotations

from pathlib import Path

import click

from ..asking import OneQuery, count_option, image_options, page_option
from ..files import file_options, files_of, show_answered
from ..options import backend_option, bundle_argument, device_option, json_option, print_json
from ..threads import threads_option


@click.command()
@bundle_argument
@click.option("--sentence", cls=OneQuery, needed=True, help="The text.")
@click.option("--head", cls=OneQuery, needed=True, help="Words that stand in it once: the first thing.")
@click.option("--tail", cls=OneQuery, needed=True, help="Words that stand in it once: the second thing.")
@image_options
@page_option
@file_options("columns sentence, head and tail, and image (a path), aux and rcnn (lists of paths) if there are any")
@count_option(3)
@backend_option
@device_option
@threads_option
@json_option
def extract(
    bundle: Path,
    sentence: str,
    head: str,
    tail: str,
    image: Path | None,
    aux: tuple[Path, ...],
    rcnn: tuple[Path, ...],
    html: Path | None,
    queries: Path | None,
    output: Path | None,
    bad_rows: Path | None,
    overwrite: bool,
    count: int,
    backend: str,
    device: str,
    as_json: bool,
) -> None:
    """Tell the relation between two things in a sentence, or in each sentence of a file.

    \b
    mmkg-sdk extract BUNDLE --sentence "Lima is the capital of Peru." --head Peru --tail Lima
    mmkg-sdk extract BUNDLE --input sentences.jsonl --output relations.jsonl

    With --input the exit code is 3 if some rows have no answer.
    """
    from ...answering.answers.explanation_page import write_explanation
    from ...answering.relation_extraction import Extractor, RelationMention
    from ...data.sentences import SentenceImages

    files = files_of(queries, output, bad_rows, overwrite)
    with Extractor.load(bundle, backend, device) as extractor:
        if files:
            from ...batches import extract_file

            show_answered(extract_file(extractor, k=count, **files), as_json=as_json)
            return
        mention = RelationMention(sentence, head, tail, SentenceImages(image, aux, rcnn))
        (found,) = extractor.extract_relations(mention)
        if html is not None:
            write_explanation(extractor.explain_relation(mention), html)
    if as_json:
        print_json(found.to_json(count))
        return
    click.echo(f"({found.head}, ?, {found.tail})")
    for rank, (label, score) in enumerate(found.ranked(count), start=1):
        click.echo(f"  {rank}. {label}  {score:.4f}")
    for note in found.notes():
        click.echo(f"  ({note})")
