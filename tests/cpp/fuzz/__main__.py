"""python -m tests.cpp.fuzz: fuzz the bundle reader of the C++ library for some minutes; ends with 1 on any fault."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from tests.places import ROOT

from .corpus import make_corpus


@click.command()
@click.option("--minutes", default=1.0, show_default=True, help="How long, without compiling.")
@click.option("--seed", default=1, show_default=True, help="Of the fuzzer's choices.")
@click.option("--build", default=ROOT / "build" / "fuzz", type=click.Path(path_type=Path), help="Where it is compiled.")
@click.option("--faults", default=Path("."), type=click.Path(path_type=Path), help="Where inputs that fail are kept.")
def main(minutes: float, seed: int, build: Path, faults: Path) -> None:
    """Fuzz the bundle reader of the C++ library, watched by the sanitizers."""
    for program in ("cmake", "ninja", "clang++"):
        if shutil.which(program) is None:
            raise click.ClickException(f"{program} was not found; the fuzzer is compiled with cmake, ninja and clang.")
    subprocess.run(["cmake", "--preset", "fuzz", "-B", build], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["cmake", "--build", build, "--target", "bundle_fuzzer"], check=True, stdout=subprocess.DEVNULL)
    faults.mkdir(parents=True, exist_ok=True)
    # In memory where there is some: each input is written as a file.
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        bundles, inputs = make_corpus(Path(folder) / "corpus")
        limits = [f"-max_total_time={round(60 * minutes)}", f"-seed={seed}", "-max_len=300000", "-timeout=20"]
        reports = ["-print_final_stats=1", f"-artifact_prefix={faults.resolve()}/"]
        done = subprocess.run(
            [build / "tests/cpp/fuzz/bundle_fuzzer", *limits, *reports, inputs],
            # What is too large for memory is to be an mmkg::Error, not the end.
            env=os.environ | {"MMKG_FUZZ_BUNDLES": str(bundles), "ASAN_OPTIONS": "allocator_may_return_null=1"},
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            check=False,
        )
    executions = re.findall(r"stat::number_of_executed_units: *(\d+)", done.stderr)
    if done.returncode or not executions:
        click.echo(done.stderr[-20_000:], err=True)
        sys.exit(1)
    click.echo(f"{int(executions[0]):,} bundles opened, no fault")


if __name__ == "__main__":
    main()
