"""What the loop needs to know of a family: where the batches come from, and the loss of one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

Batch = tuple[Tensor, ...]


class Objective(Protocol):
    """A torch module with a family's training loss; its `model` is what is kept in the run."""

    @property
    def model(self) -> nn.Module:
        """The model alone; its state dict has the official names."""

    def batches(self, batch_size: int, generator: torch.Generator) -> Iterator[Batch]:
        """One epoch of shuffled batches on the CPU, random by `generator` alone.

        Every epoch has the same number of batches. All tensors of a batch have the same number of rows along
        axis 0, one per query. It is called once more before the first epoch, to count the batches.
        """

    def __call__(self, *batch: Tensor) -> dict[str, Tensor]:
        """{"loss": scalar, mean over the batch; ...other scalars to log}; random by torch's own generator."""

    def parameters(self) -> Iterator[nn.Parameter]: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state_dict: Mapping[str, Any]) -> Any: ...
    def train(self, mode: bool = True) -> Any: ...
    def to(self, device: torch.device) -> Any: ...
