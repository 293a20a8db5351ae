"""Settings that a user gives: a file of them, and KEY=VALUE."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import click

from ..errors import DataError
from ..files.text import read_text


def read_settings(path: Path) -> dict[str, Any]:
    """A flat table of settings from a TOML or JSON file."""
    try:
        text = read_text(path)
        values = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except ValueError as err:
        raise DataError(f"{path} is not a readable TOML or JSON file ({err}).") from err
    if not isinstance(values, dict) or any(isinstance(value, dict) for value in values.values()):
        raise DataError(f"{path}: expected one flat table of settings.")
    return values


def parse_assignments(assignments: tuple[str, ...], option: str = "--set") -> dict[str, Any]:
    """key=value pairs; values are read as JSON where they can be, else as text."""
    values = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key:
            raise click.UsageError(f"{option} {assignment!r}: expected KEY=VALUE.")
        try:
            values[key] = json.loads(text)
        except ValueError:
            values[key] = text
    return values
