"""mmkg-sdk bench race."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Literal

import click

from ..options import json_option, print_json, say
from .options import counts, device_option, plot_option, rounds_option, seconds_option, threads_option


@click.command()
@click.option(
    "--score",
    type=click.Choice(["inner-product", "distance", "tucker"]),
    default="inner-product",
    show_default=True,
    help="What is raced: ranking by products or by rotated distances, or the Tucker product of queries.",
)
@click.option(
    "--rows",
    callback=counts,
    default="15000,200000",
    show_default=True,
    help="Entities of the tables, whole numbers with commas between; up to 10000000 fits 24 GB. Not of tucker.",
)
@click.option("--width", type=click.IntRange(1), default=256, show_default=True, help="Numbers in a vector.")
@click.option("--batches", callback=counts, default="1,32,256", show_default=True, help="Queries at once.")
@click.option("-k", "best", callback=counts, default="10", show_default=True, help="Answers per query.")
@click.option(
    "--contender",
    "contenders",
    multiple=True,
    help="Who takes part; more than one by repeating the option. Default: all.",
)
@click.option("--out", type=click.Path(path_type=Path), help="File for the results. Default: race-DATE-TIME.json.")
@click.option(
    "--instruction-set",
    help="Of the compiled kernels, for measurements: portable, avx2, avx2_vnni, avx512, ... Default: the best here.",
)
@device_option
@threads_option
@seconds_option(1.0)
@rounds_option(3)
@click.option(
    "--limit",
    "limit_s",
    type=click.FloatRange(0, 600, min_open=True),
    default=60.0,
    show_default=True,
    help="Seconds that a batch may be expected to take; slower contenders are rows without a time.",
)
@plot_option
@json_option
def race(
    score: Literal["inner-product", "distance", "tucker"],
    rows: list[int],
    width: int,
    batches: list[int],
    best: list[int],
    contenders: tuple[str, ...],
    out: Path | None,
    instruction_set: str | None,
    device: str,
    threads: int | None,
    seconds: float,
    rounds: int,
    limit_s: float,
    no_plot: bool,
    as_json: bool,
) -> None:
    """Race the compiled kernels against their peers on random numbers."""
    from ...bench.race.points import Point
    from ...bench.race.run import run_race
    from ...bench.race.shown import draw_race, race_page
    from ...bench.race.table import race_table
    from ...bench.race.tucker import TuckerPoint
    from ...bench.report.page import write_page
    from ...bench.report.png import check_plotting

    points: list[Point] | list[TuckerPoint]
    if score == "tucker":
        points = [TuckerPoint(width, batch) for batch in batches]
    else:
        points = [Point(score, size, width, batch, k) for size in rows for batch in batches for k in best]
    path = out or Path(f"race-{datetime.now():%Y%m%d-%H%M%S}.json")
    if not no_plot:
        check_plotting()
    result = run_race(
        points,
        path,
        contenders=contenders or None,
        device=device,
        threads=threads,
        seconds=seconds,
        rounds=rounds,
        limit_s=limit_s,
        instruction_set=instruction_set,
        progress=say,
    )
    if not no_plot:
        draw_race(result, path.with_suffix(".png"))
        write_page(race_page(result), path.with_suffix(".html"))
    if as_json:
        print_json(result)
    else:
        click.echo(race_table(result))
    say(f"results in {path}")
