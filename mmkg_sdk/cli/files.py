"""--input and --output: files of queries and answers, of the commands that answer one query as well."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import overwrite_option, print_json

if TYPE_CHECKING:
    from ..batches import Answered

# The exit code where some rows have no answer.
BAD_ROWS = 3
_file = click.Path(path_type=Path)


def file_options(columns: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """--input, --output, --bad-rows and --overwrite.

    Args:
        columns: of the file of queries, for the help.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in (
            overwrite_option,
            click.option(
                "--bad-rows",
                type=_file,
                help="With --input: file for the rows that have no answer, each with its number from 0 and the reason. "
                "Default: OUTPUT.bad.jsonl.",
            ),
            click.option(
                "--output", type=_file, help="With --input: file for the answers, a row each: .parquet, .csv or .jsonl."
            ),
            click.option(
                "--input",
                "queries",
                type=_file,
                help=f"Answer each row of a file: .parquet, .csv or .jsonl, with {columns}. An interrupted run goes on "
                "when it is repeated.",
            ),
        ):
            command = option(command)
        return command

    return decorate


def files_of(queries: Path | None, output: Path | None, bad_rows: Path | None, overwrite: bool) -> dict[str, Any]:
    """The arguments of `predict_file` and its like that name files; nothing where one query is asked."""
    if queries is None:
        if output or bad_rows or overwrite:
            raise click.UsageError("--output, --bad-rows and --overwrite go with --input.")
        return {}
    if output is None:
        raise click.UsageError("--input needs --output, a file for the answers.")
    places = {"queries": queries, "output": output, "bad_rows": bad_rows}
    return {**places, "overwrite": overwrite, "show_progress": True}


def show_answered(done: Answered, *, as_json: bool) -> None:
    """Print what became of a file, and leave with 3 if some of its rows have no answer."""
    if as_json:
        print_json(done.to_json())
    else:
        click.echo(str(done))
    if done.bad:
        click.get_current_context().exit(BAD_ROWS)
