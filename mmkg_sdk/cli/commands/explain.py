"""mmkg-sdk explain."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..asking import name_of
from ..options import backend_option, bundle_argument, device_option, json_option, print_json, say
from ..threads import threads_option

if TYPE_CHECKING:
    from ...answering.answers.link_explanation import LinkExplanation
    from ...families.explained import EntityExplanation


@click.command()
@bundle_argument
@click.argument("entity")
@click.option("--mention", help="For entity linking: the name whose link to ENTITY is explained.")
@click.option("--sentence", default="", help="Where it stands.")
@click.option(
    "--image",
    type=click.Path(path_type=Path),
    help="The image that goes with the sentence; or that of ENTITY, for --html to draw on.",
)
@click.option("--html", type=click.Path(path_type=Path), help="Also write it as a page for any browser.")
@backend_option
@device_option
@threads_option
@json_option
def explain(
    bundle: Path,
    entity: str,
    mention: str | None,
    sentence: str,
    image: Path | None,
    html: Path | None,
    backend: str,
    device: str,
    as_json: bool,
) -> None:
    """Tell what counts in ENTITY, a label or an id; or, with --mention, in the link of a mention to it."""
    from ...answering.answers.explanation_page import write_explanation
    from ...answering.entity_linking import Linker, Mention
    from ...answering.link_prediction import Model

    found: EntityExplanation | LinkExplanation
    if mention is None:
        if sentence or (image and not html):
            raise click.UsageError("--sentence goes with --mention, and --image with --mention or --html.")
        with Model.load(bundle, backend, device) as model:
            found = model.explain_entity(name_of(entity, model.entities, "entity"))
    else:
        with Linker.load(bundle, backend, device) as linker:
            asked = Mention(mention, sentence, image)
            found = linker.explain_link(asked, name_of(entity, linker.entities, "entity"))
    if html is not None:
        write_explanation(found, html, image)
        say(f"{html} written")
    if as_json:
        print_json(found.to_json())
    else:
        click.echo(repr(found))
