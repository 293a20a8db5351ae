"""What several commands share: arguments and options, JSON output, tables of metrics."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from ..backends import BACKENDS
from ..registry import FAMILIES, MODALITIES, PUBLISHED_MODALITIES, check_further_modality
from . import completion

_file = click.Path(path_type=Path)


class _Family(click.Choice):  # type: ignore[type-arg]  # generic from click 8.2 on
    """A model family; "adamf-mat" is one spelling of "adamf_mat"."""

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> str:
        found: str = super().convert(str(value).replace("-", "_"), parameter, context)
        return found


family_type = _Family(list(FAMILIES))

bundle_argument = click.argument("bundle", type=_file)
family_argument = click.argument("family", type=family_type)
set_option = click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    shell_complete=completion.settings,
    help="One setting; repeatable.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
backend_option = click.option(
    "--backend", type=click.Choice(["auto", *BACKENDS]), default="auto", help="What runs the graphs."
)
device_option = click.option("--device", default="auto", help="auto, cpu, cuda or cuda:N.")
overwrite_option = click.option("--overwrite", is_flag=True, help="Replace what stands there.")


def say(message: str) -> None:
    """Talk, on stderr."""
    click.echo(message, err=True)


def named_files(given: tuple[str, ...], unnamed: str | None = None) -> dict[str, Path]:
    """Files by the name in front of the first `=`, which "image" says of visual, too; `unnamed` is that of the others.

    A file whose own name holds one goes with a name.
    """
    found: dict[str, Path] = {}
    for one in given:
        name, equals, path = one.partition("=")
        if not equals and unnamed is None:
            raise click.UsageError(f"--features {one!r}: expected NAME=FILE.")
        name, path = (MODALITIES.get(name, name), path) if equals else (str(unnamed), one)
        if name not in PUBLISHED_MODALITIES:
            check_further_modality(name)
        if name in found:
            raise click.UsageError(f"{one!r}: modality {name} has {found[name]} already. Name one file for each.")
        found[name] = Path(path)
    return found


def print_json(value: Any) -> None:
    """An answer for machines, on stdout: valid JSON in whatever encoding that has."""
    escaped = getattr(sys.stdout, "encoding", "utf-8").lower().replace("-", "") != "utf8"
    click.echo(json.dumps(value, indent=1, ensure_ascii=escaped))


def metrics_table(rows: Mapping[str, Mapping[str, float]]) -> str:
    """One line per row, of what the first one's task measures: shares in percent, mean rank as it is."""
    measured = sorted(next(iter(rows.values())), key=lambda name: name == "mean_rank")  # which comes last
    heads = [name.replace("hits_at_", "Hits@").replace("mrr", "MRR").replace("_", " ") for name in measured]
    widths = [max(6, len(head)) for head in heads]

    def line(row: str, cells: Iterable[str]) -> str:
        padded = (f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
        return "  ".join([f"{row:<{max(map(len, rows))}}", *padded])

    lines = [line("", heads)]
    for row, values in rows.items():
        numbers = (f"{values[n]:.1f}" if n == "mean_rank" else f"{100 * values[n]:.2f}" for n in measured)
        lines.append(line(row, numbers))
    return "\n".join(lines)
