"""One step of a training: gradients averaged over the processes, clipped, and followed, without a wait for them."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.optim import Optimizer

from ...families.objective import TrainingObjective
from ..distributed import ProcessGroup
from ..settings import TrainingSettings
from .compiled import compiled
from .feed import Share
from .measured import ADVERSARY_NORM, CLOCK, GRADIENT_NORM
from .optimizers import make_optimizers
from .precision import SMALLEST_SCALE, autocast


class Stepper:
    """Optimisers and loss scaling of a training.

    Attributes:
        optimizers: of the model and, if there is one, of its adversary.
        scaler: of the losses; it does something with "fp16" only.
    """

    def __init__(self, objective: TrainingObjective, settings: TrainingSettings, group: ProcessGroup) -> None:
        self.objective, self.settings, self.group = objective, settings, group
        self._losses = objective.forward
        self._adversary_losses = [] if objective.adversary is None else [objective.adversary_loss]
        if settings.compile:
            # The number of graphs of a function is limited over the process, which may have trained before.
            torch.compiler.reset()
            self._losses = compiled(self._losses)
            self._adversary_losses = [compiled(loss) for loss in self._adversary_losses]
        self.optimizers = make_optimizers(objective, settings, group.device)
        self.scaler = torch.amp.GradScaler(group.device.type, enabled=settings.precision == "fp16")

    def step(self, share: Share, *, rate: float, seconds: float) -> dict[str, Tensor]:
        """One step of the model, and one of its adversary.

        Args:
            share: on the device.
            rate: the schedule's learning rate.
            seconds: what this process's clock shows.

        Returns:
            float32 scalars on the device, averaged over the batch and the processes: the outputs of the objective,
            CLOCK, GRADIENT_NORM, and with an adversary "adversary_loss" and ADVERSARY_NORM.
        """
        model, *adversaries = self.optimizers
        with autocast(self.settings, self.group.device):
            outputs = self._losses(*share.tensors)
        clock = torch.full((), seconds, device=self.group.device)  # a kernel; torch.tensor would wait for a copy
        values, norm = self._gradients({**outputs, CLOCK: clock}, model, share.weight)
        for group in model.param_groups:
            group["lr"] = rate * group["rate_factor"]
        self.scaler.step(model)
        measured = {**values, GRADIENT_NORM: norm}
        for adversary, adversary_loss in zip(adversaries, self._adversary_losses, strict=True):
            with autocast(self.settings, self.group.device):
                loss = adversary_loss(*share.tensors)
            values, norm = self._gradients({"loss": loss}, adversary, share.weight)
            measured |= {"adversary_loss": values["loss"], ADVERSARY_NORM: norm}
            self.scaler.step(adversary)
        self.scaler.update()
        return measured

    def is_skipping(self) -> bool:
        """Whether the loss scaling may leave out a step whose gradients are not finite. It waits for the device."""
        return self.scaler.is_enabled() and self.scaler.get_scale() > SMALLEST_SCALE

    def _gradients(
        self, outputs: Mapping[str, Tensor], optimizer: Optimizer, weight: float
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Fill the gradients that an optimiser steps along; the outputs averaged over the processes, and their norm."""
        # What the loss of another optimiser left in these gradients goes.
        optimizer.zero_grad(set_to_none=True)
        loss: Tensor = self.scaler.scale(outputs["loss"])
        torch.autograd.backward(loss)
        local = torch.stack([value.detach().float() for value in outputs.values()])
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        averaged = self.group.average(parameters, local, weight)
        self.scaler.unscale_(optimizer)
        norm = torch.nn.utils.clip_grad_norm_(parameters, self.settings.clip_norm or math.inf)
        return dict(zip(outputs, averaged.unbind(), strict=True)), norm.float()
