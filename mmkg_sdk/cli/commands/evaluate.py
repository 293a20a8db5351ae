"""mmkg-sdk evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..completion import data_sets
from ..options import backend_option, device_option, json_option, metrics_table, print_json
from ..threads import threads_option


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--split", type=click.Choice(["train", "valid", "test"]), default="test", help="Which triples to rank.")
@click.option(
    "--data",
    shell_complete=data_sets,
    help="With a bundle that holds no labelled data: the data set to evaluate on.",
)
@click.option(
    "--answer-pictured",
    is_flag=True,
    help="MKGformer's link prediction with the answer's images, which give it away: the leak of one published "
    "FB15k-237 checkpoint.",
)
@click.option(
    "--without",
    multiple=True,
    metavar="image",
    help="With a run of MyGO or AdaMF-MAT: as if no entity had this modality. Repeatable.",
)
@click.option("--by-side", is_flag=True, help="Head and tail queries apart.")
@click.option("--by-relation", is_flag=True, help="Every relation apart.")
@backend_option
@device_option
@threads_option
@json_option
def evaluate(
    path: Path,
    split: str,
    data: str | None,
    answer_pictured: bool,
    without: tuple[str, ...],
    by_side: bool,
    by_relation: bool,
    backend: str,
    device: str,
    as_json: bool,
) -> None:
    """Evaluate a split with a run or a bundle by the published protocol of its task."""
    from ...evaluation import LinkPredictionReport
    from ...evaluation.subjects import evaluate_path

    report = evaluate_path(
        path, split, data=data, backend=backend, device=device, answer_pictured=answer_pictured, without=without
    )
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
        extra: dict[str, Any] = {"by_side": report.by_side()} if by_side else {}
        extra |= {"by_relation": report.by_relation()} if by_relation else {}
        extra |= {"answer_pictured": True} if answer_pictured else {}
        extra |= {"without": list(without)} if without else {}
        print_json({"path": str(path), "split": split, **report.to_json(), **extra})
        return
    changed = [", with the answer's images"] if answer_pictured else []
    changed += [f", without {name}" for name in without]
    click.echo(f"{split}: {2 * len(report.triples):,} queries of {path}{''.join(changed)}")
    click.echo(metrics_table(tables))
