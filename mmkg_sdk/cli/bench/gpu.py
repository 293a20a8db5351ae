"""mmkg-sdk bench gpu."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from ..options import json_option, print_json, say
from .options import counts, names, rounds_option, seconds_option, threads_option


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--device", default="cuda:0", show_default=True, help="cuda or cuda:N. `bench run` measures a CPU.")
@click.option(
    "--backends",
    callback=names,
    help="Who is measured, with commas between; default: all. kernels, tensorrt, onnxruntime, torch, and the peers "
    "flashlib and jax. One that is not installed is a row that says so.",
)
@click.option(
    "--stages",
    callback=names,
    help="What is measured, with commas between; default: all. gpu-scan: the k best rows of the table. gpu-query: "
    "vectors of queries. gpu-answer: from labels to labels. gpu-encode: entities by their number of tokens.",
)
@click.option(
    "--batches",
    callback=counts,
    help="Queries or entities at once. Default: 1,32,256,2048, and 1,32 where texts and images are asked.",
)
@click.option("-k", "best", callback=counts, default="10,100", show_default=True, help="Answers per query.")
@click.option(
    "--token-counts", callback=counts, help="Tokens per entity. Default: 4,8,14,32,64,128,256,512 as far as they go."
)
@seconds_option(10.0)
@rounds_option(1)
@threads_option
@click.option("--nvtx", is_flag=True, help="Name every cell for NVIDIA's profilers; needs the package nvtx.")
@click.option("--no-transfers", is_flag=True, help="Leave copies to and from the GPU out of the host's latencies.")
@click.option("--no-plot", is_flag=True, help="Write no page (.html); it needs plotly.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder for the results. Default: bench-gpu-DATE-TIME in this folder.",
)
@json_option
def gpu(
    bundle: Path,
    device: str,
    backends: list[str] | None,
    stages: list[str] | None,
    batches: list[int] | None,
    best: list[int],
    token_counts: list[int] | None,
    seconds: float,
    rounds: int,
    threads: int | None,
    nvtx: bool,
    no_transfers: bool,
    no_plot: bool,
    out: Path | None,
    as_json: bool,
) -> None:
    """Measure BUNDLE on an NVIDIA GPU, stage by stage, beside what the GPU can do and beside peers.

    THIS COMMAND HAS NEVER RUN ON A GPU. Its tests walk it on a processor.
    """
    from ...bench import report_table
    from ...bench.gpu.run import run_gpu_benchmark

    folder = out or Path(f"bench-gpu-{datetime.now():%Y%m%d-%H%M%S}")
    report = run_gpu_benchmark(
        bundle,
        folder,
        device=device,
        backends=backends,
        stages=stages,
        batches=batches,
        best=best,
        token_counts=token_counts,
        threads=threads,
        seconds=seconds,
        rounds=rounds,
        nvtx=nvtx,
        transfers=not no_transfers,
        plot=not no_plot,
        progress=say,
    )
    if as_json:
        print_json(report.to_json())
    else:
        click.echo(report_table(report))
    say(f"results in {folder}")
