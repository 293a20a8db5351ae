"""What can be evaluated: a run with its torch model, or a bundle on a backend."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from ..bundle import MANIFEST
from ..errors import DataError
from ..registry import LINK_PREDICTION, task_module


class Report(Protocol):
    """What every task's evaluation gives."""

    def metrics(self) -> dict[str, float]:
        """The published metrics by name."""
        ...

    def to_json(self) -> dict[str, Any]:
        """The metrics and what they were counted on."""
        ...


def evaluate_path(
    path: Path,
    split: str,
    *,
    data: str | None = None,
    backend: str = "auto",
    device: str = "auto",
    answer_pictured: bool = False,
) -> Report:
    """Evaluate a split with whatever lies at `path`, by the published protocol of its task.

    Args:
        data: for a bundle of a task whose bundles hold no labelled data: where to read it, as `open_data` takes it.
        answer_pictured: MKGformer's link prediction with the pictures of the right answer, the leak of one published
            FB15k-237 checkpoint, instead of the known entity's.

    Raises:
        DataError: neither a run with weights nor a bundle; `answer_pictured` with another family or task.
    """
    if (path / MANIFEST).exists():
        return _evaluate_bundle(path, split, data, backend, device, answer_pictured)
    if (path / "run.json").exists():
        if backend not in ("auto", "torch"):
            raise DataError(f"{path} is a run, which only torch evaluates. Export it, or leave --backend out.")
        if data is not None:
            raise DataError(f"{path} is a run, which holds its data. Leave --data out.")
        return _evaluate_run(path, split, device, answer_pictured)
    raise DataError(f"{path} is neither a run nor a bundle: it has no run.json and no {MANIFEST}.")


def _evaluate_bundle(
    path: Path, split: str, data: str | None, backend: str, device: str, answer_pictured: bool
) -> Report:
    from ..answering.opening import load

    with load(path, backend, device) as opened:
        bundle = opened.bundle
        options = _options(path, bundle.family, bundle.config.task, answer_pictured)
        report: Report = task_module("evaluation", bundle.config.task).evaluate_bundle(opened, split, data, **options)
        return report


def _evaluate_run(path: Path, split: str, device: str, answer_pictured: bool) -> Report:
    from ..backends.torch import torch_device
    from ..registry import family_part
    from ..run import Run

    run = Run.open(path)
    model = family_part(run.family, "model").build(run.config, run.inputs)
    model.load_state_dict(run.weights())
    model.to(torch_device(device))
    options = _options(path, run.family, model.config.task, answer_pictured)
    report: Report = task_module("evaluation", model.config.task).evaluate_run(run, model, split, **options)
    return report


def _options(path: Path, family: str, task: str, answer_pictured: bool) -> dict[str, bool]:
    if not answer_pictured:
        return {}
    if (family, task) != ("mkgformer", LINK_PREDICTION):
        raise DataError(
            f"{path} is {family}'s, for {task}; only MKGformer's link prediction asks with pictures. Leave "
            "--answer-pictured out."
        )
    return {"answer_pictured": True}
