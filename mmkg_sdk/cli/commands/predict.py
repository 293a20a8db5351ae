"""mmkg-sdk predict."""

from __future__ import annotations

from pathlib import Path

import click

from ..asking import candidate_options, candidates_of, count_option, name_of
from ..options import backend_option, bundle_argument, device_option, json_option, print_json
from ..threads import threads_option


@click.command()
@bundle_argument
@click.option("--head", help="The known head, a label or an id; ask for tails.")
@click.option("--relation", required=True, help="The relation, a label or an id.")
@click.option("--tail", help="The known tail, a label or an id; ask for heads.")
@count_option(10)
@candidate_options
@click.option(
    "--filter-known/--no-filter-known",
    " /--all-answers",
    default=None,
    help="Leave out answers that the data already give. Default: yes, unless candidates are named.",
)
@backend_option
@device_option
@threads_option
@json_option
def predict(
    bundle: Path,
    head: str | None,
    relation: str,
    tail: str | None,
    count: int,
    candidates: tuple[str, ...],
    candidates_file: Path | None,
    filter_known: bool | None,
    backend: str,
    device: str,
    as_json: bool,
) -> None:
    """Answer (HEAD, RELATION, ?) or (?, RELATION, TAIL)."""
    from ...answering.link_prediction import Model

    if (head is None) == (tail is None):
        raise click.UsageError("pass either --head or --tail; the other one is what you ask for.")
    with Model.load(bundle, backend, device) as model:
        chosen = candidates_of(candidates, candidates_file, model.entities)
        asked = name_of(relation, model.relations, "relation")
        if head is not None:
            given = name_of(head, model.entities, "head")
            (found,) = model.predict_tails(given, asked, count, filter_known=filter_known, candidates=chosen)
        elif tail is not None:
            given = name_of(tail, model.entities, "tail")
            (found,) = model.predict_heads(asked, given, count, filter_known=filter_known, candidates=chosen)
    if as_json:
        print_json(found.to_json())
    else:
        click.echo(repr(found))
