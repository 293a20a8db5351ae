"""mmkg-sdk verify."""

from __future__ import annotations

from pathlib import Path

import click

from ...errors import BundleError
from ..options import backend_option, bundle_argument, device_option, json_option, print_json, say
from ..threads import threads_option


@click.command()
@bundle_argument
@backend_option
@device_option
@click.option("--signature", type=click.Path(path_type=Path), help="What `mmkg-sdk sign` wrote; needs --public-key.")
@click.option("--public-key", type=click.Path(path_type=Path), help="PEM, of who is to have signed it.")
@threads_option
@json_option
def verify(
    bundle: Path, backend: str, device: str, signature: Path | None, public_key: Path | None, as_json: bool
) -> None:
    """Check every file of a bundle, and that it answers as it did at export; with --signature, who signed it, first."""
    from ...answering.verification import verify_bundle
    from ...signing import check_signature

    if (signature is None) != (public_key is None):
        raise click.UsageError("--signature and --public-key go together.")
    if signature is not None and public_key is not None:
        check_signature(bundle, signature, public_key=public_key)
        say(f"signed by the owner of {public_key}")

    report = verify_bundle(bundle, backend=backend, device=device)
    if as_json:
        print_json(report)
    else:
        for name, value in report.items():
            click.echo(f"{name}: {value}")
    if not report["passed"]:
        raise BundleError(f"{bundle} does not answer as it did at export; see the differences above.")
