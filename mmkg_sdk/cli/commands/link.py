"""mmkg-sdk link."""

from __future__ import annotations

from pathlib import Path

import click

from ..asking import OneQuery, candidate_options, candidates_of, count_option
from ..files import file_options, files_of, show_answered
from ..options import backend_option, bundle_argument, device_option, json_option, print_json
from ..threads import threads_option


@click.command()
@bundle_argument
@click.option("--mention", cls=OneQuery, needed=True, help="The name, as the sentence has it.")
@click.option("--sentence", cls=OneQuery, default="", help="Where it stands.")
@click.option("--image", cls=OneQuery, type=click.Path(path_type=Path), help="The image that goes with the sentence.")
@file_options("a column mention, and sentence and image (a path) if there are any")
@count_option(5)
@candidate_options
@click.option("--explain", is_flag=True, help="Also what text, image and both together say.")
@backend_option
@device_option
@threads_option
@json_option
def link(
    bundle: Path,
    mention: str,
    sentence: str,
    image: Path | None,
    queries: Path | None,
    output: Path | None,
    bad_rows: Path | None,
    overwrite: bool,
    count: int,
    candidates: tuple[str, ...],
    candidates_file: Path | None,
    explain: bool,
    backend: str,
    device: str,
    as_json: bool,
) -> None:
    """Answer which entity a mention in a sentence means, or each mention of a file.

    \b
    mmkg-sdk link BUNDLE --mention Georgia --sentence "Tbilisi is the capital of Georgia."
    mmkg-sdk link BUNDLE --input mentions.csv --output links.parquet

    With --input the exit code is 3 if some rows have no answer.
    """
    from ...answering.entity_linking import Linker
    from ...data.mentions import Mention

    files = files_of(queries, output, bad_rows, overwrite)
    with Linker.load(bundle, backend, device) as linker:
        chosen = candidates_of(candidates, candidates_file, linker.entities)
        if files:
            from ...batches import link_file

            show_answered(link_file(linker, k=count, candidates=chosen, explain=explain, **files), as_json=as_json)
            return
        (found,) = linker.link_mentions(Mention(mention, sentence, image), count, candidates=chosen, explain=explain)
    if as_json:
        print_json(found.to_json())
    else:
        click.echo(repr(found))
