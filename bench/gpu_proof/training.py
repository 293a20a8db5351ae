"""Steps "steps" and "training": how fast MyGO trains, and its published training in the time that is left.

NEVER RUN ON A GPU. Both go through `mmkg-sdk train`'s own function.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from mmkg_sdk.errors import BackendError

from .job import Job
from .record import Record
from .shape import random_run

# Of step "steps": precision and epochs; the first epoch, which compiles and allocates, is not counted.
_WAYS = (("fp32", 3), ("tf32", 3), ("bf16", 4))
# What evaluation and saving take after the training.
_AFTERWARDS_S = 45.0


def run(job: Job, record: Record) -> None:
    """See the functions."""
    (_steps if job.argument == "steps" else _published)(job, record)


def _steps(job: Job, record: Record) -> None:
    """A row for each precision: steps per second of the later epochs, and the most memory that torch held."""
    import torch

    from mmkg_sdk.families import contract
    from mmkg_sdk.training.loop import train
    from mmkg_sdk.training.metrics import read_metrics
    from mmkg_sdk.training.settings import PRECISIONS, TrainingSettings

    ways = (("fp32", 2),) if job.rehearsed else _WAYS
    for precision, epochs in ways:
        if precision not in PRECISIONS:
            record.add(precision=precision, status="not measured", note=f"one of {', '.join(PRECISIONS)} is trained")
            continue
        made = random_run(job.folder / f"run-{precision}", rehearsed=job.rehearsed)
        settings = TrainingSettings(epochs=epochs, precision=precision, validate_every=epochs)
        torch.manual_seed(settings.seed)
        model = contract.model_part(made.family).build(made.config, made.inputs)
        objective = contract.objective_part(made.family).objective_of(made, model)
        if job.device != "cpu":
            torch.cuda.reset_peak_memory_stats(job.device)
        train(objective, made, settings, lambda: {"mrr": 0.0}, job.device)
        rows = read_metrics(made.folder / "metrics.jsonl")
        seconds = sum(row["seconds"] for row in rows[1:])
        steps = sum(1 for _ in objective.batches(settings.batch_size, torch.Generator())) * (len(rows) - 1)
        peak = None if job.device == "cpu" else torch.cuda.max_memory_allocated(job.device) / 2**20
        row: dict[str, Any] = {"precision": precision, "epochs": epochs, "batch_size": settings.batch_size}
        rate = steps / seconds if seconds else None
        record.add(**row, steps_per_second=rate, peak_mib=peak, loss=rows[-1].get("loss"))


def _published(job: Job, record: Record) -> None:
    """The published settings on DB15K until the time is used up, then its test metrics.

    Raises:
        BackendError: no data were given.
    """
    from mmkg_sdk.evaluation.subjects import evaluate_path
    from mmkg_sdk.training.session import start_training

    began = time.monotonic()
    settings: dict[str, Any]
    if job.rehearsed:
        data, preset = "atlas", None
        settings = {"epochs": 1, "embedding_dim": 16, "feedforward_dim": 16}
    elif job.data is None:
        raise BackendError("no data were given. Pass --data with DB15K's folder.")
    else:
        minutes = max(0.5, (job.seconds - _AFTERWARDS_S) / 60)
        data, preset = job.data, "db15k"
        settings = {"precision": "bf16", "validate_every": 50, "max_minutes": minutes}
    out = Path(job.out) / "trained"
    run, result = start_training("mygo", data, out, settings=settings, preset=preset, device=job.device, overwrite=True)
    record.add(
        epochs=result.epochs, best_epoch=result.best_epoch, best=result.best_metrics, stopped_by=result.stopped_by
    )
    report = evaluate_path(run.folder, "test", device=job.device)
    record.add(test=report.metrics(), seconds=round(time.monotonic() - began, 1), settings=settings, data=run.data_name)
