"""mmkg-sdk predict."""

from __future__ import annotations

from pathlib import Path

import click

from ..asking import OneQuery, candidate_options, candidates_of, count_option, name_of
from ..files import file_options, files_of, show_answered
from ..options import backend_option, bundle_argument, device_option, json_option, print_json
from ..threads import threads_option


@click.command()
@bundle_argument
@click.option("--head", cls=OneQuery, help="The known head, a label or an id; ask for tails.")
@click.option("--relation", cls=OneQuery, needed=True, help="The relation, a label or an id.")
@click.option("--tail", cls=OneQuery, help="The known tail, a label or an id; ask for heads.")
@file_options("columns relation and, one of them empty in each row, head and tail")
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
    queries: Path | None,
    output: Path | None,
    bad_rows: Path | None,
    overwrite: bool,
    count: int,
    candidates: tuple[str, ...],
    candidates_file: Path | None,
    filter_known: bool | None,
    backend: str,
    device: str,
    as_json: bool,
) -> None:
    """Answer (HEAD, RELATION, ?) or (?, RELATION, TAIL), or a file of such queries.

    \b
    mmkg-sdk predict BUNDLE --head Norway --relation capital
    mmkg-sdk predict BUNDLE --input queries.parquet --output answers.parquet

    With --input the exit code is 3 if some rows have no answer.
    """
    from ...answering.link_prediction import Model

    files = files_of(queries, output, bad_rows, overwrite)
    if not files and (head is None) == (tail is None):
        raise click.UsageError("pass either --head or --tail; the other one is what you ask for.")
    with Model.load(bundle, backend, device) as model:
        chosen = candidates_of(candidates, candidates_file, model.entities)
        if files:
            from ...batches import predict_file

            done = predict_file(model, k=count, filter_known=filter_known, candidates=chosen, **files)
            show_answered(done, as_json=as_json)
            return
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
