"""TrainingSettings: how to train, independent of what is trained."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from ..errors import DataError

SCHEDULES = ("cosine-restarts", "one-cycle", "linear", "constant")
OPTIMIZERS = ("adam", "adamw")
PRECISIONS = ("fp32", "tf32", "bf16", "fp16", "auto")


@dataclass(frozen=True)
class TrainingSettings:
    """How to train. The defaults are those of MyGO's training program with its paper's optimiser.

    Attributes:
        epochs: how often every training triple is seen.
        batch_size: queries per optimiser step, over all processes together.
        learning_rate: the highest rate of the schedule.
        optimizer: "adam", whose weight decay is added to the gradient, or "adamw", whose is not.
        epsilon: of Adam's denominator.
        weight_decay: of the optimizer; a family may except some of its parameters.
        schedule: "cosine-restarts": cosine to 0 over `step_size` epochs, then again over twice as many, and
            so on, one step per epoch; "one-cycle": linear warm-up, then cosine to 0 at the end, one step per
            batch; "linear": the same with a straight line to 0; "constant".
        warm_up: share of "one-cycle" and "linear" in which the rate rises.
        step_size: epochs in the first period of "cosine-restarts".
        clip_norm: largest L2 norm of all gradients together; None for no limit.
        validate_every: epochs between validations; the last epoch is always validated.
        patience: stop after so many validations in a row without a better result; 0 = never.
        seed: of torch, Python and numpy.
        precision: "fp32"; "tf32" (CUDA only): float32 whose products are taken with ten bits of mantissa; "bf16";
            "fp16" (CUDA only, with loss scaling); or "auto": bf16 where the device multiplies it, and else fp32, which
            the run then names. Weights and Adam stay float32 in each.
        compile: whether torch.compile makes one graph of the losses, forward and backward: some tens of seconds at the
            start, and again where the last batch is smaller. It is the same training up to rounding, but for dropout,
            which draws other numbers.
        threads: of torch on the CPU; None = at most `kernels.default_threads()`.
        max_minutes: stop after the epoch that exceeds this wall-clock time, validations included; "one-cycle"
            and "linear" then reach 0 at that time. None = no limit.
    """

    epochs: int = 100
    batch_size: int = 2048
    learning_rate: float = 5e-4
    optimizer: str = "adam"
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    schedule: str = "cosine-restarts"
    warm_up: float = 0.1
    step_size: int = 50
    clip_norm: float | None = 0.1
    validate_every: int = 50
    patience: int = 0
    seed: int = 2024
    precision: str = "fp32"
    compile: bool = False
    threads: int | None = None
    max_minutes: float | None = None

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "step_size", "validate_every"):
            _check_whole(name, getattr(self, name), least=1)
        for name in ("patience", "seed"):
            _check_whole(name, getattr(self, name), least=0)
        if self.threads is not None:
            _check_whole("threads", self.threads, least=1)
        _check_number("learning_rate", self.learning_rate, zero=False)
        _check_number("epsilon", self.epsilon, zero=False)
        _check_number("weight_decay", self.weight_decay, zero=True)
        _check_number("warm_up", self.warm_up, zero=True)
        if self.warm_up >= 1:
            raise DataError(f"training setting warm_up is {self.warm_up!r}; expected a share below 1.")
        for name in ("clip_norm", "max_minutes"):
            if getattr(self, name) is not None:
                _check_number(name, getattr(self, name), zero=False)
        if not isinstance(self.compile, bool):
            raise DataError(f"training setting compile is {self.compile!r}; expected true or false.")
        _check_choice("schedule", self.schedule, SCHEDULES)
        _check_choice("optimizer", self.optimizer, OPTIMIZERS)
        _check_choice("precision", self.precision, PRECISIONS)

    def to_json(self) -> dict[str, Any]:
        """The settings as a flat JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> TrainingSettings:
        """The settings of `to_json`; absent ones take their defaults.

        Raises:
            DataError: on an unknown name or a value out of range.
        """
        known = [field.name for field in fields(cls)]
        unknown = [name for name in values if name not in known]
        if unknown:
            raise DataError(f"unknown training setting {unknown[0]!r}; expected some of {', '.join(known)}.")
        return cls(**values)


def _check_whole(name: str, value: object, *, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise DataError(f"training setting {name} is {value!r}; expected a whole number of at least {least}.")


def _check_number(name: str, value: object, *, zero: bool) -> None:
    number = float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan
    if not math.isfinite(number) or number < 0 or (number == 0 and not zero):
        least = "of at least 0" if zero else "above 0"
        raise DataError(f"training setting {name} is {value!r}; expected a finite number {least}.")


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise DataError(f"training setting {name} is {value!r}; expected one of {', '.join(choices)}.")
