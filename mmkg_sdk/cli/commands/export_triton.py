"""mmkg-sdk export-triton."""

from __future__ import annotations

from pathlib import Path

import click

from ..options import bundle_argument, json_option, print_json, say

_KINDS = {"auto": "KIND_AUTO", "cpu": "KIND_CPU", "gpu": "KIND_GPU"}


@click.command("export-triton")
@bundle_argument
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The model repository to write.")
@click.option("--on", "kind", type=click.Choice(list(_KINDS)), default="auto", help="Where instances run.")
@click.option("--instances", type=click.IntRange(1, 64), default=1, help="Copies of each model on each device.")
@click.option(
    "--queue-delay-us",
    type=click.IntRange(0, 1_000_000),
    default=100,
    help="How long a query may wait for others to be one batch with; microseconds.",
)
@click.option(
    "--plan",
    type=click.Path(path_type=Path),
    help="An engine of complete.onnx that TensorRT built for the GPU that serves, to take its place: with one "
    "optimization profile, as of `build-engine --profile batch=1:256:4096`.",
)
@json_option
def export_triton(
    bundle: Path, out: Path, kind: str, instances: int, queue_delay_us: int, plan: Path | None, as_json: bool
) -> None:
    """Write a model repository for Triton.

    `answers` opens the bundle and takes labels. Where it has complete.onnx, `complete` takes ids, and `complete_labels`
    is an ensemble around that which takes labels.
    """
    from ...serving.triton import export_triton as export
    from ...serving.triton.config import Placing

    names = export(bundle, out, Placing(_KINDS[kind], instances, queue_delay_us), plan=plan)
    if as_json:
        print_json({"repository": str(out), "models": names})
    else:
        say(f"wrote {out}: {', '.join(names)}")
