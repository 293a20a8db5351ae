"""What can be evaluated: a run with its torch model, or a bundle on a backend."""

from __future__ import annotations

from pathlib import Path

from ..bundle import MANIFEST
from ..errors import DataError
from ..known_triples import KnownTriples
from ..labels import Labels
from .link_prediction import LinkPredictionReport, evaluate_link_prediction


def evaluate_path(
    path: Path, split: str, *, backend: str = "auto", device: str = "auto"
) -> tuple[LinkPredictionReport, Labels]:
    """Rank a split with whatever lies at `path`; also gives the relation labels.

    Raises:
        DataError: neither a run with weights nor a bundle.
    """
    if (path / MANIFEST).exists():
        return _evaluate_bundle(path, split, backend, device)
    if (path / "run.json").exists():
        if backend not in ("auto", "torch"):
            raise DataError(f"{path} is a run, which only torch evaluates. Export it, or leave --backend out.")
        return _evaluate_run(path, split, device)
    raise DataError(f"{path} is neither a run nor a bundle: it has no run.json and no {MANIFEST}.")


def _evaluate_bundle(path: Path, split: str, backend: str, device: str) -> tuple[LinkPredictionReport, Labels]:
    from ..model import load

    with load(path, backend, device) as model:
        report = evaluate_link_prediction(model.score_queries, model.bundle.triples[split], model.bundle.known_triples)
        return report, model.relations


def _evaluate_run(path: Path, split: str, device: str) -> tuple[LinkPredictionReport, Labels]:
    from ..backends.torch import torch_device
    from ..families import family_part
    from ..families.link_scorer import link_scorer
    from ..run import Run

    run = Run.open(path)
    parts = family_part(run.family, "model")
    model = parts.build(run.config, run.inputs)
    model.load_state_dict(run.weights())
    model.to(torch_device(device))
    report = evaluate_link_prediction(link_scorer(model), run.graph.split(split), KnownTriples(run.graph.triples))
    return report, run.graph.relations
