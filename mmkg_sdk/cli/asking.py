"""What the commands that answer share: how many answers, labels and ids, candidates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from ..answering.ids import MAX_K
from ..files.labels import Labels, read_labels
from .options import say


def count_option(default: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """-k."""
    return click.option("-k", "count", type=click.IntRange(1, MAX_K), default=default, help="How many answers.")


def candidate_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--candidates and --candidates-file."""
    for option in (
        click.option(
            "--candidates-file", type=click.Path(path_type=Path), help="The same, one on each line of a file."
        ),
        click.option(
            "--candidates",
            multiple=True,
            metavar="LABEL,...",
            help="Rank these entities alone: labels or ids, commas between. Repeatable; a label with a comma in it "
            "needs an option of its own.",
        ),
    ):
        command = option(command)
    return command


def candidates_of(given: Sequence[str], file: Path | None, labels: Labels) -> list[str | int] | None:
    """What was passed as candidates; None = all.

    Raises:
        DataError: the file cannot be read.
    """
    if not given and file is None:
        return None
    texts = [part for text in given for part in ([text] if text in labels else map(str.strip, text.split(",")))]
    if file is not None:
        texts += read_labels(file, "candidate")
    return names_of(texts, labels, "candidates")


def name_of(text: str, labels: Labels, option: str) -> str | int:
    """See `names_of`, of one."""
    return names_of([text], labels, option)[0]


def names_of(texts: Sequence[str], labels: Labels, option: str) -> list[str | int]:
    """Labels, or ids: a label wins, and a decimal number that is no label is an id, which is said on stderr."""
    names = [text if text in labels or not _is_number(text) else int(text) for text in texts]
    ids = [name for name in names if isinstance(name, int) and name < len(labels)]
    if ids:
        shown = [f"{number} ({labels[number]})" for number in ids[:3]] + ["..."] * (len(ids) > 3)
        say(f"--{option}: taken for an id, as no {labels.kind} has this label: {', '.join(shown)}")
    return names


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 20
