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
    from ...families.explained import EntityExplanation, QueryExplanation


@click.command()
@bundle_argument
@click.argument("entity")
@click.option("--mention", help="For entity linking: the name whose link to ENTITY is explained.")
@click.option("--sentence", default="", help="Where it stands.")
@click.option("--relation", help="For MKGformer: explain the query (ENTITY, RELATION, ?), a label or an id.")
@click.option(
    "--direction",
    type=click.Choice(["tail", "head"]),
    help="Which side --relation asks for: tail, or head, (?, RELATION, ENTITY).  [default: tail]",
)
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
    relation: str | None,
    direction: str | None,
    image: Path | None,
    html: Path | None,
    backend: str,
    device: str,
    as_json: bool,
) -> None:
    """Tell what counts in ENTITY, a label or an id; with --mention, in the link of a mention to it; with --relation, in
    a query about it."""
    from ...answering.answers.explanation_page import write_explanation
    from ...answering.entity_linking import Linker, Mention
    from ...answering.link_prediction import Model

    found: EntityExplanation | LinkExplanation | QueryExplanation
    if mention is not None and relation is not None:
        raise click.UsageError("--mention is of entity linking, and --relation of link prediction.")
    if direction is not None and relation is None:
        raise click.UsageError("--direction goes with --relation.")
    if mention is None:
        if sentence or (image and not html):
            raise click.UsageError("--sentence goes with --mention, and --image with --mention or --html.")
        with Model.load(bundle, backend, device) as model:
            asked = name_of(entity, model.entities, "entity")
            if relation is None:
                found = model.explain_entity(asked)
            else:
                related = name_of(relation, model.relations, "relation")
                head = direction == "head"
                found = model.explain_head(related, asked) if head else model.explain_tail(asked, related)
    else:
        with Linker.load(bundle, backend, device) as linker:
            found = linker.explain_link(Mention(mention, sentence, image), name_of(entity, linker.entities, "entity"))
    if html is not None:
        write_explanation(found, html, image)
        say(f"{html} written")
    if as_json:
        print_json(found.to_json())
    else:
        click.echo(repr(found))
