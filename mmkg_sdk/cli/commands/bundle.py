"""mmkg-sdk bundle: what is made of a bundle without the model that it came from."""

from __future__ import annotations

from pathlib import Path

import click

from ..options import bundle_argument, json_option, overwrite_option, print_json, say


@click.group()
def bundle() -> None:
    """Make another bundle of one."""


@bundle.command()
@bundle_argument
@click.option("--shards", type=click.IntRange(1, 4096), required=True, help="How many, of equally many rows each.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The folder of the sharded bundle.")
@overwrite_option
@json_option
def shard(bundle: Path, shards: int, out: Path, overwrite: bool, as_json: bool) -> None:
    """Cut the entity table by rows: a front, which makes queries, and shards, which rank their rows."""
    from ...serving import shard_bundle

    starts = shard_bundle(bundle, out, shards, overwrite=overwrite, progress=say)
    if as_json:
        print_json({"out": str(out), "starts": list(starts)})
    else:
        click.echo(f"{out}: {starts[-1]:,} rows in {shards:,} shards.")
