"""mmkg-sdk link."""

from __future__ import annotations

from pathlib import Path

import click

from ..asking import candidate_options, candidates_of, count_option
from ..options import backend_option, bundle_argument, device_option, json_option, print_json
from ..threads import threads_option


@click.command()
@bundle_argument
@click.option("--mention", required=True, help="The name, as the sentence has it.")
@click.option("--sentence", default="", help="Where it stands.")
@click.option("--image", type=click.Path(path_type=Path), help="The image that goes with the sentence.")
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
    count: int,
    candidates: tuple[str, ...],
    candidates_file: Path | None,
    explain: bool,
    backend: str,
    device: str,
    as_json: bool,
) -> None:
    """Answer which entity a mention in a sentence means."""
    from ...answering.entity_linking import Linker
    from ...data.mentions import Mention

    with Linker.load(bundle, backend, device) as linker:
        chosen = candidates_of(candidates, candidates_file, linker.entities)
        (found,) = linker.link_mentions(Mention(mention, sentence, image), count, candidates=chosen, explain=explain)
    if as_json:
        print_json(found.to_json())
    else:
        click.echo(repr(found))
