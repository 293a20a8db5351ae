"""mmkg-sdk env."""

from __future__ import annotations

import click

from ..options import json_option, print_json


@click.command()
@click.option("--cmake-dir", is_flag=True, help="Print only where CMake's find_package(mmkg) finds the C++ libraries.")
@json_option
def env(cmake_dir: bool, as_json: bool) -> None:
    """Describe this machine and what is installed, for bug reports and benchmark records."""
    if cmake_dir:
        from ...kernels.cmake import cmake_dir as folder

        click.echo(folder())
        return
    from ...backends.base import devices_found
    from ...bench.machine.environment import environment
    from ...families.stood_in import stood_in

    found = environment() | {"answers_on_cpu": stood_in(), "backends": devices_found()}
    if as_json:
        print_json(found)
        return
    for name, value in found.items():
        click.echo(f"{name}: {value}")
