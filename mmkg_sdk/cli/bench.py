"""mmkg-sdk bench."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from .options import json_option, print_json, say


def _counts(context: click.Context, option: click.Parameter, text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        counts = [int(part) for part in text.split(",")]
    except ValueError as err:
        raise click.BadParameter(f"{text!r} is no list of whole numbers such as 4,8,14,32.") from err
    if min(counts) < 1:
        raise click.BadParameter(f"{min(counts)} is too small; expected at least 1.")
    return counts


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--token-counts",
    callback=_counts,
    help="Tokens per entity, all kinds together: whole numbers with commas between. MyGO and AdaMF-MAT; default: "
    "4,8,14,32,64,128,256,512 as far as the graphs go.",
)
@click.option(
    "--text-tokens",
    callback=_counts,
    help="Tokens of a text. MIMIC and MKGformer; default: 8,16,32,64,128, and its own.",
)
@click.option(
    "--visual-tokens",
    callback=_counts,
    help="Tokens of a picture, class token included. MIMIC and MKGformer; default: 5,17,50,101,197, and its own.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder for the results. Default: bench-DATE-TIME in this folder."
)
@click.option("--threads", type=click.IntRange(1, 1024), help="CPU threads of each contender. Default: all cores.")
@click.option(
    "--seconds",
    type=click.FloatRange(0, 3600, min_open=True),
    default=1.0,
    show_default=True,
    help="Measuring time in seconds per contender, point and round.",
)
@click.option("--rounds", type=click.IntRange(1, 100), default=2, show_default=True, help="Repetitions of it all.")
@click.option("--no-plot", is_flag=True, help="Leave throughput.png out; it needs matplotlib.")
@json_option
def bench(
    bundle: Path,
    token_counts: list[int] | None,
    text_tokens: list[int] | None,
    visual_tokens: list[int] | None,
    out: Path | None,
    threads: int | None,
    seconds: float,
    rounds: int,
    no_plot: bool,
    as_json: bool,
) -> None:
    """Measure BUNDLE: throughput of its encoders against token count, and latency of single questions."""
    from ..bench import run_benchmark
    from ..bench.curves import Tokens

    asked: dict[Tokens, list[int] | None] = {"all": token_counts, "text": text_tokens, "visual": visual_tokens}

    folder = out or Path(f"bench-{datetime.now():%Y%m%d-%H%M%S}")
    report = run_benchmark(
        bundle,
        folder,
        {kind: counts for kind, counts in asked.items() if counts is not None},
        threads=threads,
        seconds=seconds,
        rounds=rounds,
        plot=not no_plot,
        progress=say,
    )
    if as_json:
        print_json(report.to_json())
    else:
        click.echo(report.table())
    say(f"results in {folder}")
