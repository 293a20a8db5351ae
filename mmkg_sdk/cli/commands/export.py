"""mmkg-sdk export."""

from __future__ import annotations

from pathlib import Path

import click

from ..options import json_option, overwrite_option, print_json, say
from ..threads import threads_option


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The bundle folder to write.")
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16", "bf16"]),
    default="fp32",
    help="Of the weights and products of every graph; engines of TensorRT take it from there.",
)
@threads_option
@overwrite_option
@json_option
def export(run: Path, out: Path, precision: str, overwrite: bool, as_json: bool) -> None:
    """Turn a run into a bundle. Nothing is written if it does not answer like the model it was made of."""
    from ...export import export_bundle

    report = export_bundle(run, out, precision=precision, overwrite=overwrite, progress=say)
    if as_json:
        print_json({"bundle": str(out), "parity": report.to_json()})
        return
    click.echo(str(report))
    say(f"wrote {out}")
