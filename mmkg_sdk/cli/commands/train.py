"""mmkg-sdk train, import, evaluate."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import click

from ...errors import DataError
from ...registry import FAMILIES
from ..options import backend_option, device_option, json_option, metrics_table, overwrite_option, print_json, say

family_argument = click.argument("family", type=click.Choice(list(FAMILIES)))
set_option = click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="One setting; repeatable.")


@click.command()
@family_argument
@click.option("--data", help="atlas, a fetched name (db15k, mkg-w, mkg-y), or a data set folder.")
@click.option("--out", type=click.Path(path_type=Path), help="The run folder to write.")
@click.option("--resume", type=click.Path(path_type=Path), help="Go on with this run folder instead.")
@click.option("--preset", help="Settings by name; the default is the one named like the data set.")
@click.option("--config", type=click.Path(path_type=Path), help="TOML or JSON file of settings; wins over the preset.")
@set_option
@click.option("--start", type=click.Path(path_type=Path), help="Begin with this run's weights (MKGformer: stage 1).")
@click.option(
    "--drop-modality",
    "dropped",
    multiple=True,
    metavar="image=SHARE",
    help="Experiment: a share of the entities, 0 to 1, loses its image or text. Repeatable.",
)
@device_option
@overwrite_option
@json_option
def train(
    family: str,
    data: str | None,
    out: Path | None,
    resume: Path | None,
    preset: str | None,
    config: Path | None,
    assignments: tuple[str, ...],
    start: Path | None,
    dropped: tuple[str, ...],
    device: str,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Train a model. Start it under torchrun to use several processes."""
    from ...training.session import resume_training, start_training

    if resume is not None:
        if data or out or preset or config or assignments or start or dropped:
            raise click.UsageError("--resume goes on with the settings of the run; pass no others.")
        run, result = resume_training(resume, device=device)
    else:
        if data is None or out is None:
            raise click.UsageError("pass --data and --out, or --resume RUN.")
        settings = (read_settings(config) if config else {}) | parse_assignments(assignments)
        run, result = start_training(
            family,
            data,
            out,
            settings=settings,
            preset=preset,
            start=start,
            drop_modality=parse_assignments(dropped, "--drop-modality"),
            device=device,
            overwrite=overwrite,
        )
    if not result.best_metrics:
        return  # under torchrun the first process alone validates and reports
    summary = {
        "run": str(run.folder),
        "epochs": result.epochs,
        "best_epoch": result.best_epoch,
        "stopped_by": result.stopped_by,
        "seconds": round(result.seconds, 1),
        "validation": result.best_metrics,
    }
    if as_json:
        print_json(summary)
        return
    click.echo(metrics_table({"validation": result.best_metrics}))
    say(
        f"best of {result.epochs} epochs: {result.best_epoch}, in {result.seconds:.0f} s "
        f"(stopped by {result.stopped_by})"
    )
    say(f"next: mmkg-sdk evaluate {run.folder} && mmkg-sdk export {run.folder} --out BUNDLE")


@click.command("import")
@family_argument
@click.option("--checkpoint", type=click.Path(path_type=Path), required=True, help="The authors' checkpoint file.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The run folder to write.")
@click.option("--data", help="The data set that it was trained on.")
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


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--split", type=click.Choice(["train", "valid", "test"]), default="test", help="Which triples to rank.")
@click.option("--data", help="With a bundle that holds no labelled data: the data set to evaluate on.")
@click.option(
    "--answer-pictured",
    is_flag=True,
    help="MKGformer's link prediction with the answer's pictures, which give it away: the leak of one published "
    "FB15k-237 checkpoint.",
)
@click.option("--by-side", is_flag=True, help="Head and tail queries apart.")
@click.option("--by-relation", is_flag=True, help="Every relation apart.")
@backend_option
@device_option
@json_option
def evaluate(
    path: Path,
    split: str,
    data: str | None,
    answer_pictured: bool,
    by_side: bool,
    by_relation: bool,
    backend: str,
    device: str,
    as_json: bool,
) -> None:
    """Evaluate a split with a run or a bundle by the published protocol of its task."""
    from ...evaluation import LinkPredictionReport
    from ...evaluation.subjects import evaluate_path

    report = evaluate_path(path, split, data=data, backend=backend, device=device, answer_pictured=answer_pictured)
    if not isinstance(report, LinkPredictionReport):
        if by_side or by_relation:
            raise click.UsageError("--by-side and --by-relation go with link prediction.")
        if as_json:
            print_json({"path": str(path), "split": split, **report.to_json()})
            return
        click.echo(f"{split} of {path}")
        for name, value in report.to_json().items():
            click.echo(f"{name:<20} {value:.4f}" if isinstance(value, float) else f"{name:<20} {value:,}")
        return
    tables: dict[str, Any] = {"all queries": report.metrics(), "realistic ties": report.metrics("realistic")}
    if by_side:
        tables |= {f"{side} queries": values for side, values in report.by_side().items()}
    if by_relation:
        tables |= report.by_relation()
    if as_json:
        extra = {"by_side": report.by_side()} if by_side else {}
        extra |= {"by_relation": report.by_relation()} if by_relation else {}
        print_json({"path": str(path), "split": split, **report.to_json(), **extra})
        return
    click.echo(f"{split}: {2 * len(report.triples):,} queries of {path}")
    click.echo(metrics_table(tables))


def read_settings(path: Path) -> dict[str, Any]:
    """A flat table of settings from a TOML or JSON file."""
    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError) as err:
        raise DataError(f"{path} is not a readable TOML or JSON file ({err}).") from err
    if not isinstance(values, dict) or any(isinstance(value, dict) for value in values.values()):
        raise DataError(f"{path}: expected one flat table of settings.")
    return values


def parse_assignments(assignments: tuple[str, ...], option: str = "--set") -> dict[str, Any]:
    """key=value pairs; values are read as JSON where they can be, else as text."""
    values = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key:
            raise click.UsageError(f"{option} {assignment!r}: expected KEY=VALUE.")
        try:
            values[key] = json.loads(text)
        except ValueError:
            values[key] = text
    return values
