"""mmkg-sdk push."""

from __future__ import annotations

from pathlib import Path

import click

from ...files.strict_json import read_json_object
from ..options import bundle_argument, json_option, print_json

_file = click.Path(path_type=Path)


@click.command()
@bundle_argument
@click.argument("repository")
@click.option("--license", required=True, help="Of the weights, as the Hub spells it: apache-2.0, cc-by-4.0, other.")
@click.option("--dataset", "datasets", multiple=True, help="A data set on the Hub that it learned from. Repeatable.")
@click.option(
    "--evaluation",
    "evaluations",
    multiple=True,
    type=_file,
    help="A file with what `mmkg-sdk evaluate BUNDLE --json` printed, for the card. Repeatable.",
)
@click.option("--public", is_flag=True, help="A repository that is made now may be seen by all.")
@click.option("--signature", type=_file, help="What `mmkg-sdk sign` wrote, to go with it; needs --public-key.")
@click.option("--public-key", type=_file, help="PEM, of who signed it; the signature is checked before the push.")
@json_option
def push(
    bundle: Path,
    repository: str,
    license: str,
    datasets: tuple[str, ...],
    evaluations: tuple[Path, ...],
    public: bool,
    signature: Path | None,
    public_key: Path | None,
    as_json: bool,
) -> None:
    """Push a bundle to the Hugging Face Hub, in one commit, which is printed. The token is that in $HF_TOKEN."""
    from ...bundle import Bundle
    from ...hub import push_bundle

    if (signature is None) != (public_key is None):
        raise click.UsageError("--signature and --public-key go together.")
    commit = push_bundle(
        Bundle.open(bundle),
        repository,
        license=license,
        datasets=datasets,
        evaluations=[read_json_object(path) for path in evaluations],
        private=not public,
        signature=signature,
        public_key=public_key,
    )
    if as_json:
        print_json({"repository": repository, "revision": commit})
    else:
        click.echo(commit)
