"""One training of a variant and its test metrics, kept beside its run, so that a study that was stopped goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmkg_sdk.errors import DataError
from mmkg_sdk.evaluation.entity_linking import LinkingReport
from mmkg_sdk.evaluation.link_prediction import LinkPredictionReport
from mmkg_sdk.evaluation.subjects import evaluate_path
from mmkg_sdk.files.atomic import write_atomically
from mmkg_sdk.training.session import start_training

from .variants import Variant


@dataclass(frozen=True)
class Trained:
    """What a training came to.

    Attributes:
        metrics: of the test split.
        reciprocal_ranks: float64 [queries or mentions], in the order of the split.
        seconds: of the training.
        epochs: that it ran.
    """

    metrics: Mapping[str, float]
    reciprocal_ranks: NDArray[np.float64]
    seconds: float
    epochs: int


def check_study(work: Path, asked: Mapping[str, Any]) -> None:
    """Note in a folder which study it is of, so that what was found there is taken for no other's.

    Args:
        asked: what all trainings have in common.

    Raises:
        DataError: it is of another.
    """
    note, said = work / "study.json", json.dumps(asked, sort_keys=True, default=str)
    if not note.exists():
        write_atomically(note, said.encode())
    elif (found := note.read_text()) != said:
        raise DataError(f"{work} is of a study with {found:.500}; this one has {said:.500}. Choose another --work.")


def train_variant(
    family: str, data: str, preset: str | None, settings: Mapping[str, Any], variant: Variant, seed: int, folder: Path
) -> Path:
    """Train and evaluate, unless that was done in this folder before. Returns the file of what was found.

    Args:
        data: as `start_training` takes it.
        settings: beyond the preset, of all variants.
        folder: the run's; what was found stands beside it.
    """
    found = folder.with_suffix(".json")
    if found.is_file():
        return found
    run, result = start_training(
        family,
        data,
        folder,
        settings={**settings, **variant.settings, "seed": seed},
        preset=preset,
        drop_modality=variant.dropped,
        device="cpu",
        overwrite=True,
    )
    report = evaluate_path(run.folder, "test", device="cpu")
    assert isinstance(report, LinkPredictionReport | LinkingReport)
    ranks = report.ranks if isinstance(report, LinkingReport) else report.ranks["published"].ravel()
    content = {
        "metrics": report.metrics(),
        "ranks": ranks.tolist(),
        "seconds": round(result.seconds, 1),
        "epochs": result.epochs,
    }
    write_atomically(found, json.dumps(content).encode())
    return found


def read_trained(found: Path) -> Trained:
    """What `train_variant` wrote."""
    content = json.loads(found.read_text())
    return Trained(content["metrics"], 1.0 / np.array(content["ranks"]), content["seconds"], content["epochs"])
