"""mmkg-sdk bundle: what is made of a bundle without the model that it came from."""

from __future__ import annotations

from pathlib import Path

import click

from ..options import bundle_argument, json_option, named_files, overwrite_option, print_json, say
from ..threads import threads_option


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


@bundle.command()
@bundle_argument
@click.option(
    "--entities",
    type=click.Path(path_type=Path),
    required=True,
    help="Table of the new ones. Its first line names the columns, separated by tabs: label, and of each modality "
    "NAME_tokens (codebook rows, separated by blanks) NAME_features (a row of the matrix), "
    "or words: text, NAME_text. For entity linking: label, text, and name where that is not the label. Empty: it is "
    "missing.",
)
@click.option(
    "--features",
    multiple=True,
    metavar="NAME=FILE",
    help="Matrix of a modality, as data sets have it; without a column, one row for each entity. Repeatable.",
)
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    help="Folder of pictures of the new entities: LABEL.png or LABEL/*.png.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The folder of the new bundle.")
@overwrite_option
@threads_option
@json_option
def add(
    bundle: Path,
    entities: Path,
    features: tuple[str, ...],
    images: Path | None,
    out: Path,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Encode new entities, without training, and write the bundle that has them, too."""
    from ...answering.new_entities import add_to_bundle

    added, total = add_to_bundle(
        bundle, entities, out, features=named_files(features), images=images, overwrite=overwrite
    )
    if as_json:
        print_json({"out": str(out), "added": added, "entities": total})
    else:
        click.echo(f"{out}: {added:,} entities added, {total:,} in all.")
