"""python -m tests.attacks.fuzz: change bundles for some minutes; ends with 1 if anything failed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from .campaign import run


@click.command()
@click.option("--minutes", default=5.0, show_default=True, help="How long.")
@click.option("--seed", default=0, show_default=True, help="Equal seeds draw equal mutants.")
@click.option("--out", type=click.Path(path_type=Path), help="Where the report goes, as JSON.")
def main(minutes: float, seed: int, out: Path | None) -> None:
    """Change bundles of every family in all ways that are known, and look at what comes of it."""
    report = run(seed, minutes=minutes).to_json()
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    for failure in report["failures"][:20]:
        click.echo(json.dumps(failure), err=True)
    click.echo(f"{report['mutants']:,} mutants: {report['outcomes']}, {len(report['failures'])} failures")
    sys.exit(1 if report["failures"] else 0)


if __name__ == "__main__":
    main()
