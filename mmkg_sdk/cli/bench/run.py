"""mmkg-sdk bench: run and compare; the other commands of the group have files of their own."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from ..options import json_option, print_json, say
from .gpu import gpu
from .options import (
    batches,
    counts,
    device_option,
    names,
    plot_option,
    rounds_option,
    seconds_option,
    threads_option,
)
from .quality import quality
from .race import race
from .study import study


@click.group()
def bench() -> None:
    """Measure a bundle, compare two measurements, race the kernels, or answer a single question."""


@bench.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--modes",
    callback=names,
    help="What to measure, with commas between; default: all. cold-start: a fresh process up to its first answer. "
    "single-stream: queries one after the other. offline: large lists. server: queries that arrive at random "
    "moments, at shares of the offline rate. throughput: the encoders against token count.",
)
@click.option(
    "--token-counts",
    callback=counts,
    help="Tokens per entity, all kinds together: whole numbers with commas between. MyGO and AdaMF-MAT; default: "
    "4,8,14,32,64,128,256,512 as far as the graphs go.",
)
@click.option(
    "--text-tokens",
    callback=counts,
    help="Tokens of a text. MIMIC and MKGformer; default: 8,16,32,64,128, and its own.",
)
@click.option(
    "--visual-tokens",
    callback=counts,
    help="Tokens of an image, class token included. MIMIC and MKGformer; default: 5,17,50,101,197, and its own.",
)
@click.option(
    "--batch-sizes",
    callback=batches,
    help="Entities per run of the encoder: whole numbers with commas between, and the word own for the SDK's choice. "
    "MyGO and AdaMF-MAT; default: own.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder for the results. Default: bench-DATE-TIME in this folder."
)
@device_option
@threads_option
@seconds_option(1.0)
@rounds_option(2)
@plot_option
@json_option
def run(
    bundle: Path,
    modes: list[str] | None,
    token_counts: list[int] | None,
    text_tokens: list[int] | None,
    visual_tokens: list[int] | None,
    batch_sizes: list[int | None] | None,
    out: Path | None,
    device: str,
    threads: int | None,
    seconds: float,
    rounds: int,
    no_plot: bool,
    as_json: bool,
) -> None:
    """Measure BUNDLE: throughput of its encoders against token count, and how queries are answered."""
    from ...bench import report_table, run_benchmark
    from ...families.measuring import Tokens

    asked: dict[Tokens, list[int] | None] = {"all": token_counts, "text": text_tokens, "visual": visual_tokens}

    folder = out or Path(f"bench-{datetime.now():%Y%m%d-%H%M%S}")
    report = run_benchmark(
        bundle,
        folder,
        {kind: counts for kind, counts in asked.items() if counts is not None},
        modes=modes,
        batch_sizes=batch_sizes,
        device=device,
        threads=threads,
        seconds=seconds,
        rounds=rounds,
        plot=not no_plot,
        progress=say,
    )
    if as_json:
        print_json(report.to_json())
    else:
        click.echo(report_table(report))
    say(f"results in {folder}")


@bench.command()
@click.argument("before", type=click.Path(path_type=Path))
@click.argument("after", type=click.Path(path_type=Path))
@json_option
def compare(before: Path, after: Path, as_json: bool) -> None:
    """What changed from BEFORE to AFTER, two results.json of `bench run`, `gpu` or `quality`; changes within the noise
    are none."""
    from ...bench import compare_results

    found = compare_results(before, after)
    if as_json:
        print_json(found.to_json())
    else:
        click.echo(found.table())


bench.add_command(gpu)
bench.add_command(quality)
bench.add_command(race)
bench.add_command(study)
