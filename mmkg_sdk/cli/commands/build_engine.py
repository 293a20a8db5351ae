"""mmkg-sdk build-engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..options import bundle_argument, json_option, print_json, say


@click.command("build-engine")
@bundle_argument
@click.option(
    "--profile",
    "profiles",
    multiple=True,
    metavar="AXIS=BUCKET[,BUCKET...]",
    help="Sizes of an axis that the engines take; repeatable. A bucket is LEAST:TUNED:MOST, or MOST alone, which "
    "begins behind the bucket before it. One engine profile a bucket. Without it the batch has three, and other axes "
    "one, from what the bundle says (`mmkg-sdk inspect --json`).",
)
@click.option(
    "--flavour",
    type=click.Choice(["tensorrt", "tensorrt-rtx"]),
    help="TensorRT builds on the GPU that it is for; TensorRT for RTX builds without a GPU. "
    "[default: the first that is installed]",
)
@click.option("--device", default="cuda", help="The GPU that TensorRT builds on: cuda or cuda:N.")
@click.option(
    "--compute-capability",
    metavar="8.9,...",
    help="The kinds of GPUs that TensorRT for RTX builds for. [default: its own list]",
)
@click.option(
    "--hardware-compatible",
    type=click.Choice(["ampere-plus", "same-compute-capability"]),
    help="Other GPUs that are to run an engine of TensorRT, which may make it slower.",
)
@click.option(
    "--version-compatible",
    is_flag=True,
    help="Later versions of TensorRT are to run it as well. Such an engine holds code of the TensorRT that built it, "
    "which is then allowed to run.",
)
@click.option(
    "--strip",
    is_flag=True,
    help="Keep engines of TensorRT without their weights, which are put in from the bundle whenever one is opened.",
)
@click.option("--workspace", type=click.IntRange(1), metavar="MIB", help="The most memory of a kernel, in MiB.")
@click.option(
    "--level", type=click.IntRange(0, 5), help="How long TensorRT looks for faster kernels. [default: its own, 3]"
)
@json_option
def build_engine(
    bundle: Path,
    profiles: tuple[str, ...],
    flavour: Any,
    device: str,
    compute_capability: str | None,
    hardware_compatible: Any,
    version_compatible: bool,
    strip: bool,
    workspace: int | None,
    level: int | None,
    as_json: bool,
) -> None:
    """Build the engines of a bundle ahead, for `--backend tensorrt`.

    They are kept in the user's cache ($MMKG_CACHE, else ~/.cache/mmkg_sdk), where loading finds what was built last.
    Precision is that of the bundle: export it with another --precision for other engines.

    Not tried on a GPU yet: engines were built, and never opened.
    """
    from ...backends.tensorrt.options import BuildOptions
    from ...backends.tensorrt.prepare import build_engines
    from ...backends.tensorrt.profiles import parse_buckets
    from ...bundle import Bundle

    options = BuildOptions(
        buckets=parse_buckets(profiles),
        level=level,
        workspace_mib=workspace,
        version_compatible=version_compatible,
        strip=strip,
        hardware=hardware_compatible,
        compute_capabilities=tuple(compute_capability.split(",")) if compute_capability else (),
    )
    engines = build_engines(Bundle.open(bundle), options, flavour=flavour, device=device, progress=say)
    if as_json:
        print_json({"bundle": str(bundle), "engines": [engine.to_json() for engine in engines]})
        return
    for engine in engines:
        record = engine.engine.record
        took = f"built in {record.seconds:.1f} s" if engine.built else "in the cache already"
        click.echo(f"{record.key.graph:<28} {record.size / 2**20:8.1f} MiB  {len(record.profiles)} profiles  {took}")
        click.echo(f"  {engine.engine.path}")
    say("Built, and not run: no engine has been opened on a GPU yet.")
