"""mmkg-sdk quickstart."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..options import family_type, json_option, overwrite_option, print_json, say
from ..threads import threads_option

if TYPE_CHECKING:
    from ...quickstart import Lesson

# What to try next, by the data that was learned from.
NEXT = {
    "atlas": """mmkg-sdk predict {bundle} --head Honduras --relation language -k 3 --all-answers
  mmkg-sdk evaluate {bundle} --split test --by-side""",
    "atlas-mentions": """mmkg-sdk link {bundle} --mention Georgia --sentence "Tbilisi is the capital of Georgia."
  mmkg-sdk evaluate {bundle} --split test --data atlas-mentions""",
    "atlas-relations": """mmkg-sdk extract {bundle} --sentence "Lima is the capital of Peru." --head Peru --tail Lima
  mmkg-sdk evaluate {bundle} --split test --data atlas-relations""",
    "atlas-tags": """mmkg-sdk tag {bundle} --sentence "Many people in Kenya speak Swahili."
  mmkg-sdk evaluate {bundle} --split test --data atlas-tags""",
}


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("quickstart"), help="Folder for everything made.")
@click.option("--family", type=family_type, default="mygo", help="The model family.")
@overwrite_option
@threads_option
@json_option
def quickstart(out: Path, family: str, overwrite: bool, as_json: bool) -> None:
    """Train, export, answer and measure on the embedded data.

    On two cores that takes about a minute, and up to two for mimic and mkgformer.
    """
    from ...quickstart import run_quickstart

    began = time.monotonic()
    lessons = run_quickstart(out, family=family, overwrite=overwrite, say=say)
    if as_json:
        print_json([lesson.to_json() for lesson in lessons])
        return
    for lesson in lessons:
        _show(lesson)
    click.echo(f"\nDone in {time.monotonic() - began:.0f} s.")


def _show(lesson: Lesson) -> None:
    click.echo(f"\nParity with float64 torch\n{lesson.parity}")
    values = "\n".join(f"{name:<16} {value:.4f}" for name, value in lesson.metrics.items())
    click.echo(f"\nTest split of {lesson.source}\n{values}")
    click.echo(f"\nAnswers to test queries\n{lesson.answers}")
    if lesson.throughput:
        click.echo(f"\n{lesson.throughput}")
    stages = ", ".join(f"{name} {seconds} s" for name, seconds in lesson.seconds.items())
    bundle = lesson.folder / "bundle"
    click.echo(f"\n{lesson.source}: {stages}. In {lesson.folder}: the trained run, the bundle to deploy. Go on with:")
    click.echo(f"  {NEXT[lesson.source].format(bundle=bundle)}\n  mmkg-sdk inspect {bundle}")
