"""mmkg-sdk fetch."""

from __future__ import annotations

import click

from ..options import json_option, print_json


@click.command()
@click.argument("repository")
@click.option("--revision", required=True, help="The commit, 40 hexadecimal digits.")
@json_option
def fetch(repository: str, revision: str, as_json: bool) -> None:
    """Fetch a bundle from the Hugging Face Hub, and print its folder, which every command takes.

    What was fetched stays in huggingface_hub's cache. A private repository is read with the token in $HF_TOKEN.
    """
    from ...bundle import Bundle
    from ...hub import fetch_bundle

    folder = Bundle.open(fetch_bundle(repository, revision)).path
    if as_json:
        print_json({"bundle": str(folder), "repository": repository, "revision": revision})
    else:
        click.echo(folder)
