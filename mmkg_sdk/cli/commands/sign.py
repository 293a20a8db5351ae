"""mmkg-sdk sign."""

from __future__ import annotations

from pathlib import Path

import click

from ..options import bundle_argument, json_option, print_json, say

_file = click.Path(path_type=Path)


@click.command()
@bundle_argument
@click.option("--private-key", type=_file, required=True, help="PEM without a password; P-256, P-384 or P-521.")
@click.option("--signature", type=_file, required=True, help="The file to write, outside of the bundle.")
@json_option
def sign(bundle: Path, private_key: Path, signature: Path, as_json: bool) -> None:
    """Verify a bundle and sign it. `verify --signature` checks it."""
    from ...signing import sign_bundle

    sign_bundle(bundle, signature, private_key=private_key)
    if as_json:
        print_json({"bundle": str(bundle), "signature": str(signature)})
    else:
        say(f"wrote {signature}")
