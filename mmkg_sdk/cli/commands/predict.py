"""mmkg-sdk predict."""

from __future__ import annotations

from pathlib import Path

import click

from ..options import backend_option, bundle_argument, device_option, json_option, print_json
from ..threads import threads_option


@click.command()
@bundle_argument
@click.option("--head", help="The known head; ask for tails.")
@click.option("--relation", required=True, help="The relation.")
@click.option("--tail", help="The known tail; ask for heads.")
@click.option("-k", "count", type=int, default=10, help="How many answers.")
@click.option("--all-answers", is_flag=True, help="Keep answers that the training data already gives.")
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
    all_answers: bool,
    backend: str,
    device: str,
    as_json: bool,
) -> None:
    """Answer (HEAD, RELATION, ?) or (?, RELATION, TAIL)."""
    from ...answering.link_prediction import Model

    if (head is None) == (tail is None):
        raise click.UsageError("pass either --head or --tail; the other one is what you ask for.")
    with Model.load(bundle, backend, device) as model:
        if head is not None:
            found = model.predict_tails(head, relation, count, filter_known=not all_answers)
        elif tail is not None:
            found = model.predict_heads(relation, tail, count, filter_known=not all_answers)
        if as_json:
            print_json(found[0].to_json())
        else:
            click.echo(repr(found))
