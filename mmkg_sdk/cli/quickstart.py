"""mmkg-sdk quickstart."""

from __future__ import annotations

from pathlib import Path

import click

from ..families import FAMILIES
from .options import json_option, metrics_table, overwrite_option, print_json, say


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("quickstart"), help="Folder for everything made.")
@click.option("--family", type=click.Choice(list(FAMILIES)), default="mygo", help="The model family.")
@overwrite_option
@json_option
def quickstart(out: Path, family: str, overwrite: bool, as_json: bool) -> None:
    """Train, export, answer and measure on the embedded data set; under two minutes on two cores."""
    from ..quickstart import run_quickstart

    result = run_quickstart(out, family=family, overwrite=overwrite, say=say)
    if as_json:
        print_json(result.to_json())
        return
    click.echo(f"\nParity with float64 torch\n{result.parity}")
    click.echo(f"\nTest split of the atlas\n{metrics_table({'MyGO': result.metrics})}")
    click.echo(f"\nAnswers to test questions\n{result.answers}")
    click.echo(f"\nEntities per second against token count\n{result.throughput}")
    total = sum(result.seconds.values())
    stages = ", ".join(f"{name} {seconds} s" for name, seconds in result.seconds.items())
    click.echo(f"\nDone in {total:.0f} s ({stages}).")
    click.echo(f"""
{out}/data     the tokenised data set
{out}/run      the trained model
{out}/bundle   what you deploy
{out}/bench    results.json, results.csv, throughput.png

Go on with:
  mmkg-sdk predict {out}/bundle --head Norway --relation language -k 5
  mmkg-sdk evaluate {out}/bundle --split test --by-side
  mmkg-sdk inspect {out}/bundle
  mmkg-sdk bench {out}/bundle --token-counts 4,8,16,32,64,128""")
