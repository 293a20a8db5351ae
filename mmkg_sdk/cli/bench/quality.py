"""mmkg-sdk bench quality."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from ..completion import data_sets
from ..options import bundle_argument, json_option, print_json, say
from .options import device_option, names, plot_option, threads_option, token_counts


@click.command()
@bundle_argument
@click.option(
    "--data",
    shell_complete=data_sets,
    help="The data set that it was trained on: tokenized, for numbers of tokens; or with mentions or sentences.",
)
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    help="Folder with the pictures that it was trained with, as <label>.png or <label>/*.png; or with those "
    "of mentions or sentences. Default: those of the data set.",
)
@click.option(
    "--other-images",
    type=click.Path(path_type=Path),
    help="Folder with other pictures of the same entities, by somebody else; of mentions and sentences, "
    "with the same file names.",
)
@click.option(
    "--parts",
    callback=names,
    help="What to measure, with commas between; default: all. frontier: the metric against entities per second, with "
    "fewer and more tokens of each modality. pictures: with fewer pictures of each. robustness: with images and "
    "texts dropped and exchanged, and with worse pictures.",
)
@click.option(
    "--tokens",
    multiple=True,
    metavar="NAME=COUNTS",
    callback=token_counts,
    help="Of the frontier: numbers of tokens of a modality, such as image=0,2,4,8. Repeatable; default: 0, 1, 2, 4, "
    "... up to twice as many as in training.",
)
@click.option(
    "--split",
    type=click.Choice(["train", "valid", "test"]),
    default="test",
    show_default=True,
    help="What is measured.",
)
@click.option(
    "--seeds", type=click.IntRange(1, 100), default=3, show_default=True, help="Draws of what is left to chance."
)
@click.option(
    "--most",
    type=click.IntRange(1),
    default=5000,
    show_default=True,
    help="Triples, mentions or sentences of the split at most; of more, so many are drawn.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0, 3600, min_open=True),
    default=0.3,
    show_default=True,
    help="Measuring time in seconds of the encoder at each setting of the frontier.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder for the results. Default: quality-DATE-TIME in this folder."
)
@device_option
@threads_option
@plot_option
@json_option
def quality(
    bundle: Path,
    data: str | None,
    images: Path | None,
    other_images: Path | None,
    parts: list[str] | None,
    tokens: dict[str, list[int]],
    split: str,
    seeds: int,
    most: int,
    seconds: float,
    out: Path | None,
    device: str,
    threads: int | None,
    no_plot: bool,
    as_json: bool,
) -> None:
    """What tokens, pictures and texts are worth to BUNDLE: its metric with fewer of them, worse ones and others."""
    from ...bench.quality.run import run_quality
    from ...bench.quality.table import quality_table

    folder = out or Path(f"quality-{datetime.now():%Y%m%d-%H%M%S}")
    report = run_quality(
        bundle,
        folder,
        data=data,
        images=images,
        other_images=other_images,
        parts=parts,
        tokens=tokens,
        split=split,
        seeds=seeds,
        most=most,
        seconds=seconds,
        device=device,
        threads=threads,
        plot=not no_plot,
        progress=say,
    )
    if as_json:
        print_json(report.to_json())
    else:
        click.echo(quality_table(report))
    say(f"results in {folder}")
