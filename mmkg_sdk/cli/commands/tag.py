"""mmkg-sdk tag."""

from __future__ import annotations

from pathlib import Path

import click

from ..asking import OneQuery, image_options, page_option
from ..files import file_options, files_of, show_answered
from ..options import backend_option, bundle_argument, device_option, json_option, print_json
from ..threads import threads_option


@click.command()
@bundle_argument
@click.option("--sentence", cls=OneQuery, needed=True, help="The text.")
@image_options
@page_option
@file_options("a column sentence, and image (a path), aux and rcnn (lists of paths) if there are any")
@backend_option
@device_option
@threads_option
@json_option
def tag(
    bundle: Path,
    sentence: str,
    image: Path | None,
    aux: tuple[Path, ...],
    rcnn: tuple[Path, ...],
    html: Path | None,
    queries: Path | None,
    output: Path | None,
    bad_rows: Path | None,
    overwrite: bool,
    backend: str,
    device: str,
    as_json: bool,
) -> None:
    """Find the named entities of a sentence, or of each sentence of a file.

    \b
    mmkg-sdk tag BUNDLE --sentence "Many people in Kenya speak Swahili."
    mmkg-sdk tag BUNDLE --input sentences.csv --output entities.csv

    With --input the exit code is 3 if some rows have no answer.
    """
    from ...answering.answers.explanation_page import write_explanation
    from ...answering.entity_recognition import Tagger
    from ...data.sentences import SentenceImages

    files = files_of(queries, output, bad_rows, overwrite)
    with Tagger.load(bundle, backend, device) as tagger:
        if files:
            from ...batches import tag_file

            show_answered(tag_file(tagger, **files), as_json=as_json)
            return
        shown = SentenceImages(image, aux, rcnn)
        (found,) = tagger.tag(sentence, [shown])
        if html is not None:
            write_explanation(tagger.explain_sentence(sentence, shown), html)
    if as_json:
        print_json(found.to_json())
    else:
        click.echo(repr(found))
