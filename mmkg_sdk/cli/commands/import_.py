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
    inputs: Path | None,
    config: Path | None,
    assignments: tuple[str, ...],
    overwrite: bool,
    as_json: bool,
) -> None:
    """Take an official checkpoint. The number of heads is in no tensor: --set num_heads=2 (DB15K) or 4 (MKG-W)."""
    from ...export import import_checkpoint

    settings = parse_assignments(assignments)
    run = import_checkpoint(
        family, checkpoint, out, data=data, inputs=inputs, config=config, settings=settings, overwrite=overwrite
    )
    if as_json:
        print_json({"run": str(run.folder), "family": run.family, "config": run.config})
        return
    click.echo(str(run.folder))
    say(f"next: mmkg-sdk evaluate {run.folder} && mmkg-sdk export {run.folder} --out BUNDLE")
