"""mmkg-sdk env."""

from __future__ import annotations

import click

from ..options import json_option, print_json


@click.command()
@json_option
def env(as_json: bool) -> None:
    """Describe this machine and what is installed, for bug reports and benchmark records."""
    from ...backends.base import devices_found
    from ...bench.machine.environment import environment
    from ...families.stood_in import stood_in

    found = environment() | {"answers_on_cpu": stood_in(), "backends": devices_found()}
    if as_json:
        print_json(found)
        return
    for name, value in found.items():
        click.echo(f"{name}: {value}")
