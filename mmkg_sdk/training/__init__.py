"""Training of any family: TrainingSettings, `train` and its result. Only `train` loads torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import missing_package
from .settings import TrainingSettings

if TYPE_CHECKING:
    from .loop import TrainingResult, train

__all__ = ["TrainingResult", "TrainingSettings", "train"]


if not TYPE_CHECKING:  # so that a wrong name is found by type checkers, too

    def __getattr__(name: str) -> Any:
        if name not in ("TrainingResult", "train"):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        try:
            from . import loop
        except ModuleNotFoundError as err:
            if err.name != "torch":
                raise
            raise missing_package("torch", "train", "training") from err
        return getattr(loop, name)
