"""resume.pt: everything a training needs to go on after a kill as if nothing had happened."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch

from ..errors import DataError
from ..files.atomic import write_atomically
from .settings import TrainingSettings

FORMAT_VERSION = 2
# These say when to stop and how fast to compute, not what an epoch does, so they may change on resume.
CHANGEABLE = ("epochs", "validate_every", "patience", "compile", "threads", "max_minutes")


@dataclass
class Position:
    """Where a training stands after a complete epoch.

    Attributes:
        epoch: complete epochs.
        seconds: wall-clock time they took, validations included, over all sessions.
        best_epoch: the epoch with the best validation MRR; 0 before the first validation.
        best_metrics: the validation metrics of that epoch.
        stale: validations since then.
    """

    epoch: int = 0
    seconds: float = 0.0
    best_epoch: int = 0
    best_metrics: dict[str, float] = field(default_factory=dict)
    stale: int = 0


def save_state(path: Path, settings: TrainingSettings, position: Position, parts: dict[str, Any]) -> None:
    """Replace resume.pt atomically; `parts` are the states of objective, optimizers and scaler.

    Raises:
        DataError: the disk does not take it.
    """
    head = {"format_version": FORMAT_VERSION, "settings": settings.to_json(), "position": asdict(position)}
    write_atomically(path, lambda file: torch.save(head | parts, file))


def load_state(path: Path, settings: TrainingSettings) -> tuple[Position, dict[str, Any]]:
    """What `save_state` wrote.

    Raises:
        DataError: if the file is damaged, of another version, or belongs to a training with other settings.
    """
    advice = "Delete it to train from the start, or put back a copy."
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as err:  # torch raises many types for damaged files: pickle, zip, EOF, runtime
        raise DataError(f"{path} cannot be read ({type(err).__name__}). It is damaged. {advice}") from err
    expected = {"format_version", "settings", "position", "objective", "optimizers", "scaler"}
    if not isinstance(state, dict) or state.keys() != expected:
        raise DataError(f"{path} does not hold a training state. {advice}")
    if state["format_version"] != FORMAT_VERSION:
        version = state["format_version"]
        raise DataError(f"{path} has format version {version}, expected {FORMAT_VERSION}. {advice}")
    _check_same(path, state["settings"], settings)
    values = state.pop("position")
    return Position(**{part.name: values[part.name] for part in fields(Position)}), state


def _check_same(path: Path, before: dict[str, Any], settings: TrainingSettings) -> None:
    for name, value in settings.to_json().items():
        if name not in CHANGEABLE and before.get(name) != value:
            raise DataError(
                f"{path} belongs to a training with {name} {before.get(name)!r}, now it is {value!r}. "
                f"Resume with the same settings (but for {', '.join(CHANGEABLE)}), or train into a new run."
            )
