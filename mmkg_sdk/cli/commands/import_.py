"""mmkg-sdk import."""

from __future__ import annotations

from pathlib import Path

import click

from ..completion import data_sets
from ..options import family_argument, json_option, overwrite_option, print_json, say, set_option
from ..settings import parse_assignments


@click.command("import")
@family_argument
@click.option("--checkpoint", type=click.Path(path_type=Path), required=True, help="The authors' checkpoint file.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The run folder to write.")
@click.option("--data", shell_complete=data_sets, help="The data set that it was trained on.")
@click.option(
    "--tokens",
    type=click.Path(path_type=Path),
    help="Folder of its token files and codebooks. Default: that of --data.",
)
@click.option("--visual", help="Visual tokenizer or token file, when there are several.")
@click.option("--text", help="Text tokenizer or token file, when there are several.")
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    help="Folder of the images of mentions or sentences. Default: that of --data.",
)
@click.option(
    "--allow-missing",
    multiple=True,
    type=click.Choice(["image", "text"]),
    help="Go on where --data lacks what it was trained with; answers then differ. Repeatable.",
)
@click.option(
    "--inputs", type=click.Path(path_type=Path), help="Instead of --data: an .npz of token indices and triples."
)
@click.option("--config", type=click.Path(path_type=Path), help="With --inputs: JSON file of the authors' options.")
@set_option
@overwrite_option
@json_option
def import_(
    family: str,
    checkpoint: Path,
    out: Path,
    data: str | None,
    tokens: Path | None,
    visual: str | None,
    text: str | None,
    images: Path | None,
    allow_missing: tuple[str, ...],
    inputs: Path | None,
    config: Path | None,
    assignments: tuple[str, ...],
    overwrite: bool,
    as_json: bool,
) -> None:
    """Take an official checkpoint.

    MyGO's holds neither tokens (--tokens) nor the number of heads: --set num_heads=2 (DB15K) or 4 (MKG-W).
    """
    from ...export import import_checkpoint

    settings = parse_assignments(assignments)
    run = import_checkpoint(
        family,
        checkpoint,
        out,
        data=data,
        tokens=tokens,
        visual=visual,
        text=text,
        images=images,
        inputs=inputs,
        config=config,
        settings=settings,
        allow_missing=allow_missing,
        overwrite=overwrite,
    )
    if as_json:
        print_json({"run": str(run.folder), "family": run.family, "config": run.config})
        return
    click.echo(str(run.folder))
    say(f"next: mmkg-sdk evaluate {run.folder} && mmkg-sdk export {run.folder} --out BUNDLE")
