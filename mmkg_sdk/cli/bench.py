"""mmkg-sdk bench: run, compare and race."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Literal

import click

from .options import json_option, print_json, say


def _whole(text: str) -> int:
    try:
        number = int(text)
    except ValueError as err:
        raise click.BadParameter(f"{text!r} is not a whole number; expected some with commas between.") from err
    if number < 1:
        raise click.BadParameter(f"{number} is too small; expected at least 1.")
    return number


def _counts(context: click.Context, option: click.Parameter, text: str | None) -> list[int] | None:
    return None if text is None else [_whole(part) for part in text.split(",")]


def _batches(context: click.Context, option: click.Parameter, text: str | None) -> list[int | None] | None:
    return None if text is None else [None if part.strip() == "own" else _whole(part) for part in text.split(",")]


def _modes(context: click.Context, option: click.Parameter, text: str | None) -> list[str] | None:
    return None if text is None else [part.strip() for part in text.split(",")]


@click.group()
def bench() -> None:
    """Measure a bundle, compare two measurements, or race the kernels."""


@bench.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--modes",
    callback=_modes,
    help="What to measure, with commas between; default: all. cold-start: a fresh process up to its first answer. "
    "single-stream: questions one after the other. offline: large lists. server: questions that arrive at random "
    "moments, at shares of the offline rate. throughput: the encoders against token count.",
)
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
    "--batch-sizes",
    callback=_batches,
    help="Entities per run of the encoder: whole numbers with commas between, and the word own for the SDK's choice. "
    "MyGO and AdaMF-MAT; default: own.",
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
@click.option(
    "--no-plot", is_flag=True, help="Leave throughput.png and report.html out; they need matplotlib and plotly."
)
@json_option
def run(
    bundle: Path,
    modes: list[str] | None,
    token_counts: list[int] | None,
    text_tokens: list[int] | None,
    visual_tokens: list[int] | None,
    batch_sizes: list[int | None] | None,
    out: Path | None,
    threads: int | None,
    seconds: float,
    rounds: int,
    no_plot: bool,
    as_json: bool,
) -> None:
    """Measure BUNDLE: throughput of its encoders against token count, and how questions are answered."""
    from ..bench import run_benchmark
    from ..bench.sweep.curves import Tokens

    asked: dict[Tokens, list[int] | None] = {"all": token_counts, "text": text_tokens, "visual": visual_tokens}

    folder = out or Path(f"bench-{datetime.now():%Y%m%d-%H%M%S}")
    report = run_benchmark(
        bundle,
        folder,
        {kind: counts for kind, counts in asked.items() if counts is not None},
        modes=modes,
        batch_sizes=batch_sizes,
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


@bench.command()
@click.argument("before", type=click.Path(path_type=Path))
@click.argument("after", type=click.Path(path_type=Path))
@json_option
def compare(before: Path, after: Path, as_json: bool) -> None:
    """What changed from BEFORE to AFTER, two results.json of `bench run`; changes within the noise are none."""
    from ..bench import compare_reports, read_report

    found = compare_reports(read_report(before), read_report(after))
    if as_json:
        print_json(found.to_json())
    else:
        click.echo(found.table())


@bench.command()
@click.option(
    "--score",
    type=click.Choice(["inner-product", "distance", "tucker"]),
    default="inner-product",
    show_default=True,
    help="What is raced: ranking by products or by rotated distances, or the Tucker product of queries.",
)
@click.option(
    "--rows",
    callback=_counts,
    default="15000,200000",
    show_default=True,
    help="Entities of the tables, whole numbers with commas between; up to 10000000 fits 24 GB. Not of tucker.",
)
@click.option("--width", type=click.IntRange(1), default=256, show_default=True, help="Numbers in a vector.")
@click.option("--batches", callback=_counts, default="1,32,256", show_default=True, help="Queries at once.")
@click.option("-k", "counts", callback=_counts, default="10", show_default=True, help="Answers per query.")
@click.option(
    "--contender",
    "contenders",
    multiple=True,
    help="Who takes part; more than one by repeating the option. Default: all.",
)
@click.option("--out", type=click.Path(path_type=Path), help="File for the results. Default: race-DATE-TIME.json.")
@click.option("--threads", type=click.IntRange(1, 1024), help="CPU threads of each contender. Default: all cores.")
@click.option("--seconds", type=click.FloatRange(0, 3600, min_open=True), default=1.0, show_default=True)
@click.option("--rounds", type=click.IntRange(1, 100), default=3, show_default=True, help="Turns of each contender.")
@click.option(
    "--limit",
    "limit_s",
    type=click.FloatRange(0, 600, min_open=True),
    default=60.0,
    show_default=True,
    help="Seconds that a batch may be expected to take; slower contenders are rows without a time.",
)
@click.option(
    "--no-plot", is_flag=True, help="Draw no .png and .html beside the file; they need matplotlib and plotly."
)
@json_option
def race(
    score: Literal["inner-product", "distance", "tucker"],
    rows: list[int],
    width: int,
    batches: list[int],
    counts: list[int],
    contenders: tuple[str, ...],
    out: Path | None,
    threads: int | None,
    seconds: float,
    rounds: int,
    limit_s: float,
    no_plot: bool,
    as_json: bool,
) -> None:
    """Race the compiled kernels against their peers on random numbers."""
    from ..bench.race.page import write_race_page
    from ..bench.race.plot import draw_race
    from ..bench.race.run import Point, run_race
    from ..bench.race.table import race_table
    from ..bench.race.tucker import TuckerPoint
    from ..bench.report.plot import check_plotting

    points: list[Point] | list[TuckerPoint]
    if score == "tucker":
        points = [TuckerPoint(width, batch) for batch in batches]
    else:
        points = [Point(score, size, width, batch, k) for size in rows for batch in batches for k in counts]
    path = out or Path(f"race-{datetime.now():%Y%m%d-%H%M%S}.json")
    if not no_plot:
        check_plotting()
    result = run_race(
        points,
        path,
        contenders=contenders or None,
        threads=threads,
        seconds=seconds,
        rounds=rounds,
        limit_s=limit_s,
        progress=say,
    )
    if not no_plot:
        draw_race(result, path.with_suffix(".png"))
        write_race_page(result, path.with_suffix(".html"))
    if as_json:
        print_json(result)
    else:
        click.echo(race_table(result))
    say(f"results in {path}")
