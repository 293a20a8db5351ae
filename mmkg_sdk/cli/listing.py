"""What `train --list-settings` prints."""

from __future__ import annotations

import json
from typing import Any

import click

from ..families import contract
from ..training.listing import Setting, settings_of
from .options import print_json


def show_settings(family: str, *, as_json: bool) -> None:
    """Every setting of a family with type, default and meaning, and its presets."""
    settings, presets = settings_of(family), contract.config_part(family).PRESETS
    if as_json:
        print_json({"family": family, "settings": [one.to_json() for one in settings], "presets": presets})
        return
    page = click.HelpFormatter(width=120)
    for title, trains in (
        (f"Settings of {family} (--set NAME=VALUE)", False),
        ("Settings of the training", True),
    ):
        with page.section(title):
            page.write_dl([(one.name, _described(one)) for one in settings if one.trains == trains], col_max=40)
    with page.section("Presets (--preset NAME; without it the one named like the data set, if there is one)"):
        page.write_dl([(name, _assignments(values)) for name, values in presets.items()])
    click.echo(page.getvalue().rstrip())


def _described(one: Setting) -> str:
    default = "from the data" if one.decided_by_data else f"default {json.dumps(one.default)}"
    return f"[{one.type}; {default}] {one.meaning}"


def _assignments(values: dict[str, Any]) -> str:
    return " ".join(f"{name}={json.dumps(value)}" for name, value in values.items())
