"""mmkg-sdk fetch."""

from __future__ import annotations

from pathlib import Path

import click

from ..options import json_option, print_json, say


@click.command()
@click.argument("repository")
@click.option("--revision", required=True, help="The commit, 40 hexadecimal digits.")
@click.option(
    "--public-key",
    type=click.Path(path_type=Path),
    help="PEM, of who is to have signed it. The signature in the repository is checked.",
)
@json_option
def fetch(repository: str, revision: str, public_key: Path | None, as_json: bool) -> None:
    """Fetch a bundle from the Hugging Face Hub, and print its folder, which every command takes.

    What was fetched stays in huggingface_hub's cache. A private repository is read with the token in $HF_TOKEN.
    """
    from ...bundle import Bundle
    from ...hub import fetch_bundle

    folder = Bundle.open(fetch_bundle(repository, revision, public_key=public_key)).path
    if public_key is not None:
        say(f"signed by the owner of {public_key}")
    if as_json:
        print_json({"bundle": str(folder), "repository": repository, "revision": revision})
    else:
        click.echo(folder)
