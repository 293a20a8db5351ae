"""What can be evaluated: a run with its torch model, or a bundle on a backend."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from ..answering.opening import load
from ..backends import use_torch_threads
from ..backends.torch import torch_device
from ..bundle import MANIFEST
from ..errors import DataError
from ..families import contract
from ..families.built import built_model
from ..registry import ENTITY_LINKING, ENTITY_RECOGNITION, LINK_PREDICTION, RELATION_EXTRACTION, said_modality
from ..run import Run
from . import entity_linking, entity_recognition, link_prediction, relation_extraction
from .reports import Report


class TaskEvaluation(Protocol):
    """The file of a task."""

    @property
    def SELECTED(self) -> str:
        """The metric that the best epoch of a training is chosen by; higher is better."""
        ...

    @property
    def evaluate_run(self) -> Any:
        """(run, model, split) -> Report; link prediction takes `answer_pictured`, too."""
        ...

    @property
    def evaluate_bundle(self) -> Any:
        """(opened bundle, split, data or None) -> Report; likewise."""
        ...


EVALUATIONS: dict[str, TaskEvaluation] = {
    LINK_PREDICTION: link_prediction,
    ENTITY_LINKING: entity_linking,
    RELATION_EXTRACTION: relation_extraction,
    ENTITY_RECOGNITION: entity_recognition,
}


def evaluate_path(
    path: Path,
    split: str,
    *,
    data: str | None = None,
    backend: str = "auto",
    device: str = "auto",
    answer_pictured: bool = False,
    without: Sequence[str] = (),
) -> Report:
    """Evaluate a split with whatever lies at `path`, by the published protocol of its task.

    Args:
        data: for a bundle of a task whose bundles hold no labelled data: where to read it, as `open_data` takes it.
        answer_pictured: MKGformer's link prediction with the images of the right answer, the leak of one published
            FB15k-237 checkpoint, instead of the known entity's.
        without: modalities that no entity is to have, of a run of MyGO or AdaMF-MAT: "image", "text" or further ones.

    Raises:
        DataError: neither a run with weights nor a bundle; `answer_pictured` or `without` with another family or task;
            a modality that the model does not have.
    """
    if (path / MANIFEST).exists():
        if without:
            raise DataError(f"{path} is a bundle, whose entities are encoded. Evaluate its run without {without[0]}.")
        return _evaluate_bundle(path, split, data, backend, device, answer_pictured)
    if (path / "run.json").exists():
        if backend not in ("auto", "torch"):
            raise DataError(f"{path} is a run, which only torch evaluates. Export it, or leave --backend out.")
        if data is not None:
            raise DataError(f"{path} is a run, which holds its data. Leave --data out.")
        return _evaluate_run(path, split, device, answer_pictured, without)
    raise DataError(f"{path} is neither a run nor a bundle: it has no run.json and no {MANIFEST}.")


def _evaluate_bundle(
    path: Path, split: str, data: str | None, backend: str, device: str, answer_pictured: bool
) -> Report:
    with load(path, backend, device) as opened:
        bundle = opened.bundle
        options = _options(path, bundle.family, bundle.config.task, answer_pictured)
        report: Report = EVALUATIONS[bundle.config.task].evaluate_bundle(opened, split, data, **options)
        return report


def _evaluate_run(path: Path, split: str, device: str, answer_pictured: bool, without: Sequence[str]) -> Report:
    run = Run.open(path)
    config = contract.config_part(run.family).Config.from_json(run.config)
    model, task = built_model(run, config).to(torch_device(device)), config.task
    options = _options(path, run.family, task, answer_pictured)
    _leave_out(model, without)
    use_torch_threads()
    report: Report = EVALUATIONS[task].evaluate_run(run, model, split, **options)
    return report


def _leave_out(model: Any, without: Sequence[str]) -> None:
    """Take modalities from all entities of a model."""
    known = {said_modality(one.name): one.name for one in getattr(model.config, "modalities", ())}
    for name in without:
        if name not in known:
            raise DataError(f"cannot leave {name!r:.80} out; this model has {', '.join(known) or 'none to leave out'}.")
        model.leave_out(known[name])


def _options(path: Path, family: str, task: str, answer_pictured: bool) -> dict[str, bool]:
    if not answer_pictured:
        return {}
    if task != LINK_PREDICTION or not contract.link_runtime(family).SHOWS_IMAGES:
        raise DataError(
            f"{path} is {family}'s, for {task}; only MKGformer's link prediction asks with images. Leave "
            "--answer-pictured out."
        )
    return {"answer_pictured": True}
