"""What the commands that answer share: options of one query, how many answers, labels and ids, candidates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from ..answering.ids import MAX_K
from ..files.labels import Labels, read_labels
from .options import say

_path = click.Path(path_type=Path)


class OneQuery(click.Option):
    """An option of one query, which is wrong beside --input.

    Args:
        needed: it must be there without --input.
    """

    def __init__(self, *arguments: Any, needed: bool = False, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.needed = needed

    def handle_parse_result(
        self, ctx: click.Context, opts: Mapping[str, Any], args: list[str]
    ) -> tuple[Any, list[str]]:
        if not ctx.resilient_parsing:
            if "queries" in opts and self.name in opts:
                raise click.UsageError(f"{self.opts[-1]} is of one query, and --input names a file of them.", ctx)
            if self.needed and "queries" not in opts and self.name not in opts:
                raise click.MissingParameter(ctx=ctx, param=self, param_type="option")
        return super().handle_parse_result(ctx, opts, args)


page_option = click.option(
    "--html", cls=OneQuery, type=_path, help="Also write what its words find in the images, as a page for any browser."
)


def image_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--image, --aux and --rcnn: the images of a sentence."""
    for option in (
        click.option(
            "--rcnn",
            cls=OneQuery,
            type=_path,
            multiple=True,
            help="A small crop of it, as a detector finds it. Repeatable.",
        ),
        click.option(
            "--aux",
            cls=OneQuery,
            type=_path,
            multiple=True,
            help="A crop of it that goes with the text. Repeatable.",
        ),
        click.option(
            "--image",
            cls=OneQuery,
            type=_path,
            help="The whole image, for models that take it for a crop.",
        ),
    ):
        command = option(command)
    return command


def count_option(default: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """-k."""
    return click.option("-k", "count", type=click.IntRange(1, MAX_K), default=default, help="How many answers.")


def candidate_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--candidates and --candidates-file."""
    for option in (
        click.option("--candidates-file", type=_path, help="The same, one on each line of a file."),
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
