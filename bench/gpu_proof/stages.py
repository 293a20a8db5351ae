"""Steps "encoder", "onnxruntime" and "tensorrt": parts of `mmkg-sdk bench gpu` on the bundle. NEVER RUN ON A GPU."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from mmkg_sdk.errors import BackendError

from ..gpu.run import run_gpu_benchmark
from .job import Job
from .record import Record


@dataclass(frozen=True)
class Part:
    """What is asked of `run_gpu_benchmark`; seconds are of each cell."""

    backends: tuple[str, ...]
    stages: tuple[str, ...]
    batches: tuple[int, ...]
    best: tuple[int, ...] = (10,)
    token_counts: tuple[int, ...] = (14,)
    seconds: float = 1.5


PARTS = {
    "encoder": Part(("kernels", "torch"), ("gpu-encode",), (4096,), token_counts=(4, 8, 14, 32, 64, 128, 256, 512)),
    "onnxruntime": Part(("onnxruntime",), ("gpu-query", "gpu-answer", "gpu-encode"), (1, 32, 256)),
    "tensorrt": Part(("tensorrt",), ("gpu-query", "gpu-answer", "gpu-encode"), (1, 256)),
}


def run(job: Job, record: Record) -> None:
    """A row for each of the report's; the report itself is in a folder beside.

    Raises:
        BackendError: there is no bundle, or no row was measured; the text says why.
    """
    part = PARTS[job.argument]
    if job.rehearsed:
        part = replace(part, batches=(2,), token_counts=(4,), seconds=0.02)
    if not (Path(job.bundle) / "bundle.json").is_file():
        raise BackendError(f"{job.bundle} holds no bundle: the step that makes it did not come to its end")
    report = run_gpu_benchmark(
        job.bundle,
        job.folder / f"bench-{job.argument}",
        device=job.device,
        clock=job.clock,
        backends=part.backends,
        stages=part.stages,
        batches=part.batches,
        best=part.best,
        token_counts=part.token_counts,
        seconds=part.seconds,
        plot=False,
        ceilings=job.ceilings(),
        progress=lambda line: print(line, flush=True),
    )
    for row in report.rows:
        place = {"contender": row.contender, "mode": row.mode, "batch": row.batch, "tokens": row.token_count}
        numbers = {name: value for name, value in row.numbers.items() if name.endswith("_p50") or name == "per_second"}
        record.add(**place, status=row.status, note=row.note, max_difference=row.max_difference, **numbers)
    if not any(row.status == "measured" for row in report.rows):
        raise BackendError(next((row.note for row in report.rows if row.note), "nothing was measured"))
