"""python -m mmkg_sdk.bench.gpu_proof"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import click

from mmkg_sdk.errors import MmkgError

from .plan import PLAN
from .run import Asked, run_proof


@click.command()
@click.option("--minutes", type=float, default=12.0, show_default=True, help="For all steps together.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the results.")
@click.option("--device", default="cuda:0", show_default=True, help="cuda or cuda:N.")
@click.option("--data", type=click.Path(path_type=Path), help="DB15K's folder: MyGO trains on it in what is left.")
@click.option(
    "--bundle",
    type=click.Path(path_type=Path),
    help="A MyGO bundle of DB15K's size. Default: a step makes one with random weights, which needs torch and onnx.",
)
@click.option("--rehearse", is_flag=True, help="Walk every step's code on the processor, in tiny sizes.")
@click.option(
    "--only",
    multiple=True,
    type=click.Choice([step.name for step in PLAN]),
    help="This step alone; more than one by repeating the option.",
)
def main(
    minutes: float,
    out: Path,
    device: str,
    data: Path | None,
    bundle: Path | None,
    rehearse: bool,
    only: tuple[str, ...],
) -> None:
    """The first minutes on an NVIDIA GPU: are the kernels right, and how fast is everything?

    THIS COMMAND HAS NEVER RUN ON A GPU. Whoever runs it commits what it writes to bench/results/gpu/, whatever it
    shows (docs/gpu-proof.md).

    Exit codes: 0 done; 1 a step failed or was cut by its limit; 3 no GPU.
    """
    # What runs is ended with us, and what was done stays.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        sys.exit(run_proof(Asked(out, minutes, device, data, bundle, rehearse, only), click.echo))
    except MmkgError as err:
        raise click.ClickException(str(err)) from err


if __name__ == "__main__":
    main()
