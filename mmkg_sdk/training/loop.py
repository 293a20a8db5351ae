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

from ..errors import BackendError, MmkgError
from ..families.objective import Batch, TrainingObjective
from ..run import Run
from .distributed import ProcessGroup, process_group
from .metrics import append_metrics, truncate_metrics
from .progress import ProgressLine
from .schedule import learning_rate, training_progress
from .seeding import repeatable, seed_epoch
from .settings import TrainingSettings
from .state import Position, load_state, save_state

Validate = Callable[[], dict[str, float]]

SAVE_EVERY_S = 30.0  # between validations; what a kill can cost at most, besides the running epoch
SMALLEST_SCALE = 2.0**-24  # fp16: forty skipped steps from the scaler's start; no gradient is finite any more

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
    """

    epochs: int
    best_epoch: int
    best_metrics: dict[str, float]
    stopped_by: str
    seconds: float


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
    the interruption, except with `max_minutes` and "one-cycle", where the learning rate follows the clock.

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
        BackendError: if the device is not there.
    """
    with (
        process_group(device) as group,
        run.locked() if group.is_first else nullcontext(),
        repeatable(settings.threads, group.device),
    ):
        if settings.precision == "fp16" and group.device.type != "cuda":
            raise BackendError("precision 'fp16' needs a CUDA device; use 'bf16' or 'fp32' on the CPU.")
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
        objective.to(group.device)
        self.optimizers = [_optimizer(objective.parameter_groups(), settings)]
        if objective.adversary is not None:
            rate = objective.adversary_learning_rate
            self.optimizers.append(torch.optim.Adam(objective.adversary.parameters(), lr=rate))
        self.scaler = torch.amp.GradScaler(group.device.type, enabled=settings.precision == "fp16")
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
        at = self.position
        return TrainingResult(at.epoch, at.best_epoch, at.best_metrics, _STOPS[stop], at.seconds)

    def _resume(self) -> None:
        """Load resume.pt if there is one, and bring the other files to the same epoch."""
        path = self.run.folder / "resume.pt"
        found = path.is_file()
        if found:
            self.position, state = load_state(path, self.settings)
            self.objective.load_state_dict(state["objective"])
            for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
                optimizer.load_state_dict(saved)
            self.scaler.load_state_dict(state["scaler"])
        self.group.barrier()  # nobody looks for the file after the first process has begun to write
        self.started -= self.position.seconds
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
        sums: dict[str, float] = {}
        rows, rate = 0, 0.0
        for index, batch in enumerate(self.objective.batches(self.settings.batch_size, generator), start=1):
            values, rate = self._step(batch, number, index)
            for name, value in values.items():
                sums[name] = sums.get(name, 0.0) + value * len(batch[0])
            rows += len(batch[0])
            self.line.step(epoch=number, loss=values["loss"], triples=len(batch[0]), seconds=self._seconds())
        spent = time.monotonic() - began
        row: dict[str, Any] = {"epoch": number, "learning_rate": rate}
        row |= {name: total / rows for name, total in sums.items()}
        row |= {"seconds": round(spent, 3), "triples_per_second": round(rows / spent, 1)}
        self.position.epoch, self.position.seconds = number, self._seconds()
        if self.group.is_first:
            self._finish_epoch(row)

    def _step(self, batch: Batch, epoch: int, index: int) -> tuple[dict[str, float], float]:
        """One step of the model, and one of its adversary: what is logged, averaged over the batch, and the rate."""
        share, weight = self.group.share(batch)
        share = [tensor.to(self.group.device, non_blocking=True) for tensor in share]
        model_optimizer, *adversary_optimizers = self.optimizers
        with self._autocast():
            outputs = self.objective(*share)
        values, seconds = self._gradients(outputs, model_optimizer, weight, epoch, index)
        rate = learning_rate(
            self.settings,
            epoch=epoch - 1,
            progress=training_progress(
                self.settings,
                step=(epoch - 1) * self.steps + index - 1,
                steps=self.settings.epochs * self.steps,
                seconds=seconds,
            ),
        )
        for group in model_optimizer.param_groups:
            group["lr"] = rate * group["rate_factor"]
        self.scaler.step(model_optimizer)
        for optimizer in adversary_optimizers:
            with self._autocast():
                loss = self.objective.adversary_loss(*share)
            found, _ = self._gradients({"loss": loss}, optimizer, weight, epoch, index)
            values["adversary_loss"] = found["loss"]
            self.scaler.step(optimizer)
        self.scaler.update()
        return values, rate

    def _autocast(self) -> torch.autocast:
        half = torch.float16 if self.settings.precision == "fp16" else torch.bfloat16
        return torch.autocast(self.group.device.type, dtype=half, enabled=self.settings.precision != "fp32")

    def _gradients(
        self, outputs: dict[str, torch.Tensor], optimizer: torch.optim.Optimizer, weight: float, epoch: int, index: int
    ) -> tuple[dict[str, float], float]:
        """Fill the gradients that an optimiser steps along; the outputs and the clock, averaged over the processes."""
        # What the loss of another optimiser left in these gradients goes.
        optimizer.zero_grad(set_to_none=True)
        loss: torch.Tensor = self.scaler.scale(outputs["loss"])
        torch.autograd.backward(loss)
        # The clock is averaged with the gradients: every process must arrive at the same learning rate.
        clock = torch.tensor(self._seconds(), device=self.group.device)
        local = torch.stack([*(value.detach().float() for value in outputs.values()), clock])
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        averaged = self.group.average(parameters, local, weight)
        self.scaler.unscale_(optimizer)
        norm = torch.nn.utils.clip_grad_norm_(parameters, self.settings.clip_norm or math.inf)
        *numbers, seconds, gradient_norm = torch.cat([averaged, norm.float()[None]]).tolist()
        values = dict(zip(outputs, numbers, strict=True))
        self._check_finite(values, gradient_norm, epoch, index)
        return values, seconds

    def _check_finite(self, values: dict[str, float], gradient_norm: float, epoch: int, index: int) -> None:
        """Stop a training that has diverged. The scaler of fp16 may skip a step, but not go on skipping."""
        where = f"in epoch {epoch}, batch {index}"
        advice = "Lower the learning rate, or use precision 'fp32'."
        for name, value in values.items():
            if not math.isfinite(value):
                raise MmkgError(f"{name} is {value} {where}; expected a finite number. {advice}")
        skipping = self.scaler.is_enabled() and self.scaler.get_scale() > SMALLEST_SCALE
        if not math.isfinite(gradient_norm) and not skipping:
            raise MmkgError(f"the gradient norm is {gradient_norm} {where}; expected a finite number. {advice}")

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
        with torch.no_grad():
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
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "scaler": self.scaler.state_dict(),
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


def _optimizer(groups: list[dict[str, Any]], settings: TrainingSettings) -> torch.optim.Optimizer:
    """Adam or AdamW; a group's "rate_factor" is what the schedule's rate is multiplied with."""
    for group in groups:
        group["rate_factor"] = group.pop("learning_rate", settings.learning_rate) / settings.learning_rate
    kind = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
    return kind(groups, lr=settings.learning_rate, eps=settings.epsilon, weight_decay=settings.weight_decay)
