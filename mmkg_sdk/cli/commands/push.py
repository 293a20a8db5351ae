"""mmkg-sdk push."""

from __future__ import annotations

from pathlib import Path

import click

from ...files.strict_json import read_json_object
from ..options import bundle_argument, json_option, print_json


@click.command()
@bundle_argument
@click.argument("repository")
@click.option("--license", required=True, help="Of the weights, as the Hub spells it: apache-2.0, cc-by-4.0, other.")
@click.option("--dataset", "datasets", multiple=True, help="A data set on the Hub that it learned from. Repeatable.")
@click.option(
    "--evaluation",
    "evaluations",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A file with what `mmkg-sdk evaluate BUNDLE --json` printed, for the card. Repeatable.",
)
@click.option("--public", is_flag=True, help="A repository that is made now may be seen by all.")
@json_option
def push(
    bundle: Path,
    repository: str,
    license: str,
    datasets: tuple[str, ...],
    evaluations: tuple[Path, ...],
    public: bool,
    as_json: bool,
) -> None:
    """Push a bundle to the Hugging Face Hub, in one commit, which is printed. The token is that in $HF_TOKEN."""
    from ...bundle import Bundle
    from ...hub import push_bundle

    commit = push_bundle(
        Bundle.open(bundle),
        repository,
        license=license,
        datasets=datasets,
        evaluations=[read_json_object(path) for path in evaluations],
        private=not public,
    )
    if as_json:
        print_json({"repository": repository, "revision": commit})
    else:
        click.echo(commit)
