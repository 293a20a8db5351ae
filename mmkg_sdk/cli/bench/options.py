"""What the commands of `mmkg-sdk bench` share: options, and lists with commas between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from ...registry import MODALITIES

Command = TypeVar("Command", bound=Callable[..., Any])

device_option = click.option("--device", default="cpu", help="Where it runs: cpu, cuda or cuda:N.")
threads_option = click.option(
    "--threads", type=click.IntRange(1, 1024), help="CPU threads of each contender. Default: as `mmkg-sdk env` says."
)
plot_option = click.option(
    "--no-plot", is_flag=True, help="Draw no image and no page (.png and .html); they need matplotlib and plotly."
)


def seconds_option(default: float) -> Callable[[Command], Command]:
    """Measuring time."""
    return click.option(
        "--seconds",
        type=click.FloatRange(0, 3600, min_open=True),
        default=default,
        show_default=True,
        help="Measuring time in seconds per contender, point and round.",
    )


def rounds_option(default: int) -> Callable[[Command], Command]:
    """Repetitions."""
    return click.option(
        "--rounds", type=click.IntRange(1, 100), default=default, show_default=True, help="Repetitions of it all."
    )


def whole_number(text: str) -> int:
    try:
        number = int(text)
    except ValueError as err:
        raise click.BadParameter(f"{text!r} is not a whole number; expected some with commas between.") from err
    if number < 1:
        raise click.BadParameter(f"{number} is too small; expected at least 1.")
    return number


def counts(context: click.Context, option: click.Parameter, text: str | None) -> list[int] | None:
    return None if text is None else [whole_number(part) for part in text.split(",")]


def batches(context: click.Context, option: click.Parameter, text: str | None) -> list[int | None] | None:
    return None if text is None else [None if part.strip() == "own" else whole_number(part) for part in text.split(",")]


def names(context: click.Context, option: click.Parameter, text: str | None) -> list[str] | None:
    return None if text is None else [part.strip() for part in text.split(",")]


def token_counts(context: click.Context, option: click.Parameter, texts: tuple[str, ...]) -> dict[str, list[int]]:
    """NAME=COUNTS by the modality's name in files; 0 leaves a modality out."""
    found: dict[str, list[int]] = {}
    for text in texts:
        said, equals, numbers = text.partition("=")
        name = MODALITIES.get(said, said)
        if not equals or name in found:
            raise click.BadParameter(f"{text!r}; expected NAME=COUNTS, such as image=0,2,4, each modality once.")
        try:
            found[name] = [int(part) for part in numbers.split(",")]
        except ValueError as err:
            raise click.BadParameter(f"{numbers!r} are no whole numbers with commas between.") from err
        if min(found[name]) < 0:
            raise click.BadParameter(f"{min(found[name])} is too small; expected at least 0.")
    return found
