"""What the loop needs to know of a family: where the batches come from, the loss of one, and who is trained with it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

Batch = tuple[Tensor, ...]


class TrainingObjective(nn.Module, ABC):
    """Base of the families' objectives: a module with a training loss; its `model` is what is kept in the run.

    Attributes:
        model: the model alone; its state dict has the official names.
        adversary: what is trained against the model, with an optimiser of its own that makes a step on
            `adversary_loss` of the same batch after each step of the model's; None = nothing is.
        adversary_learning_rate: of that optimiser, constant.
        forward: takes the tensors of `prepared` and gives {"loss": scalar, mean over the batch; ...other scalars to
            log}; random by torch's own generator. It reads nothing back from its device, and neither does
            `adversary_loss`: a GPU then works through its queue while the next step is put into it.
        adversary_loss: takes the same and gives what the adversary minimises, a scalar; only with an adversary.
    """

    model: nn.Module
    adversary: nn.Module | None
    adversary_learning_rate = 0.0
    forward: Callable[..., dict[str, Tensor]]
    adversary_loss: Callable[..., Tensor]

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.adversary = None

    @abstractmethod
    def batches(self, batch_size: int, generator: torch.Generator) -> Iterator[Batch]:
        """One epoch of shuffled batches on the CPU, random by `generator` alone.

        Every epoch has the same number of batches. All tensors of a batch have the same number of rows along
        axis 0, one per query. It is called once more before the first epoch, to count the batches.
        """

    def prepared(self, *batch: Tensor) -> Batch:
        """What `forward` takes: a batch, or a process's share of one, after all that is better done on the CPU.

        It is called before the tensors go to the device, and on a GPU in another thread while the batch before is
        computed. Its tensors may have any number of rows. Unless a family says otherwise, it is the batch itself.
        """
        return batch

    def place(self, device: torch.device) -> None:
        """Move to the training's device; a family with large data decides here what of them goes there too."""
        self.to(device)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """What the model's optimiser steps: "params", and what differs from the settings.

        That may be "weight_decay", and "learning_rate" where the schedule's highest rate is another one.
        """
        return [{"params": [parameter for parameter in self.model.parameters() if parameter.requires_grad]}]
