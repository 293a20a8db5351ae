"""mmkg-sdk train."""

from __future__ import annotations

from pathlib import Path

import click

from ..completion import data_sets, presets
from ..listing import show_settings
from ..options import (
    device_option,
    family_type,
    json_option,
    metrics_table,
    overwrite_option,
    print_json,
    say,
    set_option,
)
from ..settings import parse_assignments, read_settings
from ..threads import threads_option


@click.command()
@click.argument("family", type=family_type, required=False)
@click.option("--list-settings", is_flag=True, help="List every setting and preset of the family; train nothing.")
@click.option(
    "--data", shell_complete=data_sets, help="atlas, a fetched name (db15k, mkg-w, mkg-y), or a data set folder."
)
@click.option("--out", type=click.Path(path_type=Path), help="The run folder to write.")
@click.option("--resume", type=click.Path(path_type=Path), help="Go on with this run folder instead.")
@click.option(
    "--preset",
    shell_complete=presets,
    help='Settings by name; "none": the defaults of all. Without it, the preset named like the data or the device.',
)
@click.option("--config", type=click.Path(path_type=Path), help="TOML or JSON file of settings; wins over the preset.")
@set_option
@click.option("--start", type=click.Path(path_type=Path), help="Begin with this run's weights (MKGformer: stage 1).")
@click.option(
    "--drop-modality",
    "dropped",
    multiple=True,
    metavar="image=SHARE",
    help="Experiment: a share of the entities (and mentions, sentences), 0 to 1, loses its image, text or further "
    "modality. Repeatable.",
)
@click.option("--require", metavar="image,text", help="Refuse to train where the data have none of these at all.")
@device_option
@threads_option
@overwrite_option
@json_option
def train(
    family: str | None,
    list_settings: bool,
    data: str | None,
    out: Path | None,
    resume: Path | None,
    preset: str | None,
    config: Path | None,
    assignments: tuple[str, ...],
    start: Path | None,
    dropped: tuple[str, ...],
    require: str | None,
    device: str,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Train a model of FAMILY, or go on with a run. Start it under torchrun to use several processes."""
    if list_settings:
        if family is None:
            raise click.UsageError("--list-settings goes with a family.")
        show_settings(family, as_json=as_json)
        return
    from ...run import Run
    from ...training.session import resume_training, start_training

    if resume is not None:
        if data or out or preset or config or assignments or start or dropped or require or overwrite:
            raise click.UsageError("--resume goes on with the settings of the run; pass no others.")
        if family not in (None, found := Run.open(resume).family):
            raise click.UsageError(f"{resume} is a run of {found} and not of {family}; leave the family out.")
        run, result = resume_training(resume, device=device)
    else:
        if family is None or data is None or out is None:
            raise click.UsageError("pass a family, --data and --out, or --resume RUN.")
        settings = (read_settings(config) if config else {}) | parse_assignments(assignments)
        run, result = start_training(
            family,
            data,
            out,
            settings=settings,
            preset=preset,
            start=start,
            drop_modality=parse_assignments(dropped, "--drop-modality"),
            require=require.split(",") if require else (),
            device=device,
            overwrite=overwrite,
        )
    if not result.best_metrics:
        return  # under torchrun the first process alone validates and reports
    summary = {
        "run": str(run.folder),
        "preset": run.source.get("preset"),
        "epochs": result.epochs,
        "best_epoch": result.best_epoch,
        "stopped_by": result.stopped_by,
        "seconds": round(result.seconds, 1),
        "validation": result.best_metrics,
    }
    if result.peak_memory_mib is not None:
        summary["peak_memory_mib"] = round(result.peak_memory_mib, 1)
    if as_json:
        print_json(summary)
        return
    click.echo(metrics_table({"validation": result.best_metrics}))
    say(f"preset: {summary['preset'] or 'none, the defaults'}")
    say(
        f"best of {result.epochs} epochs: {result.best_epoch}, in {result.seconds:.0f} s "
        f"(stopped by {result.stopped_by})"
    )
    if result.peak_memory_mib is not None:
        say(f"the GPU's tensors took {result.peak_memory_mib:,.0f} MiB at most")
    say(f"next: mmkg-sdk evaluate {run.folder} && mmkg-sdk export {run.folder} --out BUNDLE")
