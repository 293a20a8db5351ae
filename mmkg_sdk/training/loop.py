"""The one training loop of every family: Adam, schedules, mixed precision, early stopping, exact resume."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from ..errors import MmkgError
from ..families.objective import TrainingObjective
from ..run import Run
from .distributed import ProcessGroup, process_group
from .metrics import append_metrics, truncate_metrics
from .progress import ProgressLine
from .schedule import learning_rate, training_progress
from .seeding import repeatable, seed_epoch
from .settings import TrainingSettings
from .state import Position, load_state, save_state
from .steps.compiled import check_compiler
from .steps.device import check_memory, keeping_freed_memory, peak_memory_mib
from .steps.feed import device_shares
from .steps.measured import CLOCK, READ_EVERY, Measured
from .steps.optimizers import restore
from .steps.precision import check_precision, float32_products, settled
from .steps.step import Stepper

Validate = Callable[[], dict[str, float]]

SAVE_EVERY_S = 30.0  # between validations; what a kill can cost at most, besides the running epoch

_GO_ON, _STOPS = 0, ("", "epochs", "patience", "time")


@dataclass(frozen=True)
class TrainingResult:
    """How a training ended.

    Attributes:
        epochs: complete epochs, over all sessions.
        best_epoch: the epoch whose weights the run holds.
        best_metrics: its validation metrics.
        stopped_by: "epochs", "patience" or "time".
        seconds: wall-clock time over all sessions.
        peak_memory_mib: the most that tensors took on the GPU in this session; None on the CPU.
    """

    epochs: int
    best_epoch: int
    best_metrics: dict[str, float]
    stopped_by: str
    seconds: float
    peak_memory_mib: float | None = None


def train(
    objective: TrainingObjective,
    run: Run,
    settings: TrainingSettings,
    validate: Validate,
    device: str | torch.device = "cpu",
    *,
    selected: str = "mrr",
) -> TrainingResult:
    """Train until the epochs, the patience or the time are used up; the run then holds the best weights.

    A run with a resume.pt is continued from there. On the CPU the result is the same to the bit as without
    the interruption, except with `max_minutes` and "one-cycle", where the learning rate follows the clock. On a
    GPU sums have no fixed order, so the last digits differ from one time to the next. A run may be resumed on
    another device than it was begun on; shuffles stay the same, and dropout draws other numbers there.

    Under torchrun every process calls this with the same arguments and sees the same run folder. Each
    computes its share of each batch; the first one validates and writes. Batch norms see the share only.

    Args:
        objective: moved to the device in place. At the end its model holds the best weights (under torchrun
            in the first process only).
        run: receives weights.safetensors, metrics.jsonl and resume.pt.
        validate: called in eval mode without gradients; returns finite metrics, among them `selected`.
        device: "cpu" or "cuda[:index]".
        selected: the metric whose highest value decides which weights are kept.

    Raises:
        MmkgError: if loss, gradients or validation metrics are not finite; the run can be resumed.
        DataError: if resume.pt is damaged or belongs to other settings, or another process trains the run.
        BackendError: if the device is not there, lacks the precision, or has no room for the model; if it is to be
            compiled and cannot be.
    """
    settings = settled(settings, device)
    with (
        process_group(device) as group,
        run.locked() if group.is_first else nullcontext(),
        repeatable(settings.threads, group.device),
        keeping_freed_memory(group.device),
        float32_products(settings.precision, group.device),
    ):
        check_precision(settings.precision, group.device)
        check_compiler(settings.compile, group.device)
        check_memory(objective, group.device)
        return _Training(objective, run, settings, validate, group, selected).train()


class _Training:
    """The state of one call of `train`."""

    def __init__(
        self,
        objective: TrainingObjective,
        run: Run,
        settings: TrainingSettings,
        validate: Validate,
        group: ProcessGroup,
        selected: str,
    ) -> None:
        self.objective, self.run, self.settings = objective, run, settings
        self.validate, self.group, self.selected = validate, group, selected
        objective.place(group.device)
        self.stepper = Stepper(objective, settings, group)
        # Read at every step on the CPU, where nothing has to be waited for.
        self.read_every = READ_EVERY if group.device.type == "cuda" else 1
        self.loss: float | None = None
        self.clock = 0.0
        self.position = Position()
        self.started = self.saved = time.monotonic()

    def train(self) -> TrainingResult:
        self._resume()
        self.steps = sum(1 for _ in self.objective.batches(self.settings.batch_size, torch.Generator()))
        if not self.steps:
            raise MmkgError("the objective yields no batch; training needs at least one training triple.")
        self.line = ProgressLine(
            self.settings,
            steps=self.settings.epochs * self.steps,
            done=self.position.epoch * self.steps,
            shown=self.group.is_first,
        )
        try:
            while (stop := self.group.agree(self._stop())) == _GO_ON:
                self._epoch()
        except KeyboardInterrupt:
            if self.group.is_first:
                print(f"\nTo go on: mmkg-sdk train --resume {self.run.folder}", file=sys.stderr)
            raise
        finally:
            self.line.close()
        if self.group.is_first:
            self.objective.model.load_state_dict(self.run.weights())
        at, peak = self.position, peak_memory_mib(self.group.device)
        return TrainingResult(at.epoch, at.best_epoch, at.best_metrics, _STOPS[stop], at.seconds, peak)

    def _resume(self) -> None:
        """Load resume.pt if there is one, and bring the other files to the same epoch."""
        path = self.run.folder / "resume.pt"
        found = path.is_file()
        if found:
            self.position, state = load_state(path, self.settings)
            self.objective.load_state_dict(state["objective"])
            for optimizer, saved in zip(self.stepper.optimizers, state["optimizers"], strict=True):
                restore(optimizer, saved)
            self.stepper.scaler.load_state_dict(state["scaler"])
        self.group.barrier()  # nobody looks for the file after the first process has begun to write
        self.started -= self.position.seconds
        self.clock = self.position.seconds
        self.group.copy_from_first(list(self.objective.state_dict().values()))
        if not self.group.is_first:
            return
        for abandoned in self.run.folder.glob(".*.tmp"):
            abandoned.unlink()
        truncate_metrics(self.run.folder / "metrics.jsonl", self.position.epoch)
        if not found:
            self._save()  # so that a kill in the first epoch resumes from the same initial weights
        elif self.position.best_epoch == self.position.epoch > 0:
            # The kill may have come after this epoch's resume.pt and before its weights.
            self.run.save_weights(self.objective.model.state_dict())

    def _epoch(self) -> None:
        """One epoch, its validation if it is due, and its traces on the disk."""
        number = self.position.epoch + 1
        began = time.monotonic()
        generator = seed_epoch(self.settings.seed, number, self.group.rank)
        self.objective.train()
        measured, rate = Measured(number), 0.0
        shares = device_shares(self.objective, self.settings.batch_size, generator, self.group)
        for index, share in enumerate(shares, start=1):
            rate = self._rate(number, index)
            values = self.stepper.step(share, rate=rate, seconds=self._seconds())
            measured.add(values, share.rows, index)
            if index % self.read_every == 0 or index == self.steps:
                self._read(measured)
            self.line.step(epoch=number, loss=self.loss, triples=share.rows, seconds=self._seconds())
        spent = time.monotonic() - began
        row: dict[str, Any] = {"epoch": number, "learning_rate": rate} | measured.means()
        row |= {"seconds": round(spent, 3), "triples_per_second": round(measured.rows / spent, 1)}
        if (peak := peak_memory_mib(self.group.device)) is not None:
            row["peak_memory_mib"] = round(peak, 1)
        self.position.epoch, self.position.seconds = number, self._seconds()
        if self.group.is_first:
            self._finish_epoch(row)

    def _read(self, measured: Measured) -> None:
        """Wait for the device and look at what was measured.

        Raises:
            MmkgError: the training has diverged.
        """
        last = measured.read(skipping=self.stepper.is_skipping())
        self.loss, self.clock = last["loss"], last[CLOCK]

    def _rate(self, epoch: int, index: int) -> float:
        """The learning rate of a step, the same in every process: several go by the clock that they last agreed on."""
        progress = training_progress(
            self.settings,
            step=(epoch - 1) * self.steps + index - 1,
            steps=self.settings.epochs * self.steps,
            seconds=self._seconds() if self.group.size == 1 else self.clock,
        )
        return learning_rate(self.settings, epoch=epoch - 1, progress=progress)

    def _finish_epoch(self, row: dict[str, Any]) -> None:
        """Validate if it is due and write the epoch's traces, in an order that a kill leaves usable anywhere.

        metrics.jsonl may be ahead of resume.pt (it is cut on resume), and weights.safetensors behind (it is
        written again on resume).
        """
        at = self.position
        due = at.epoch % self.settings.validate_every == 0 or self._stop() != _GO_ON
        better = False
        if due:
            row["valid"] = self._validated()
            better = not at.best_epoch or row["valid"][self.selected] > at.best_metrics[self.selected]
            if better:
                at.best_epoch, at.best_metrics, at.stale = at.epoch, row["valid"], 0
            else:
                at.stale += 1
            at.seconds = self._seconds()
        append_metrics(self.run.folder / "metrics.jsonl", row)
        if due or time.monotonic() - self.saved >= SAVE_EVERY_S:
            self._save()
        if better:
            self.run.save_weights(self.objective.model.state_dict())

    def _validated(self) -> dict[str, float]:
        """The validation metrics, all finite, and the one that selects among them."""
        self.objective.train(False)
        # In full float32, as it will be evaluated and exported.
        with torch.no_grad(), float32_products("fp32", self.group.device):
            metrics = {name: float(value) for name, value in self.validate().items()}
        wrong = [name for name in (self.selected, *metrics) if not math.isfinite(metrics.get(name, math.nan))]
        if wrong:
            raise MmkgError(
                f"validation after epoch {self.position.epoch} gave {wrong[0]} = {metrics.get(wrong[0])}; "
                f"expected finite metrics, among them {self.selected}."
            )
        self.line.validated(self.selected, metrics[self.selected])
        return metrics

    def _save(self) -> None:
        parts = {
            "objective": self.objective.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.stepper.optimizers],
            "scaler": self.stepper.scaler.state_dict(),
        }
        save_state(self.run.folder / "resume.pt", self.settings, self.position, parts)
        self.saved = time.monotonic()

    def _seconds(self) -> float:
        """Wall-clock time of the training so far, over all sessions."""
        return time.monotonic() - self.started

    def _stop(self) -> int:
        """Why the training ends here, as an index of _STOPS; _GO_ON if it does not.

        By the clock of the last epoch's end: the same answer before its validation, which the last epoch must have, and
        after it.
        """
        at = self.position
        if at.epoch >= self.settings.epochs:
            return _STOPS.index("epochs")
        if self.settings.patience and at.stale >= self.settings.patience:
            return _STOPS.index("patience")
        if self.settings.max_minutes and at.seconds >= 60 * self.settings.max_minutes:
            return _STOPS.index("time")
        return _GO_ON
