"""mmkg-sdk verify."""

from __future__ import annotations

from pathlib import Path

import click

from ...errors import BundleError
from ..options import backend_option, bundle_argument, device_option, json_option, print_json
from ..threads import threads_option


@click.command()
@bundle_argument
@backend_option
@device_option
@threads_option
@json_option
def verify(bundle: Path, backend: str, device: str, as_json: bool) -> None:
    """Check every file of a bundle, and that it answers as it did at export."""
    from ...answering.verification import verify_bundle

    report = verify_bundle(bundle, backend=backend, device=device)
    if as_json:
        print_json(report)
    else:
        for name, value in report.items():
            click.echo(f"{name}: {value}")
    if not report["passed"]:
        raise BundleError(f"{bundle} does not answer as it did at export; see the differences above.")
