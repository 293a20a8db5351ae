"""Data parallelism for torchrun: each process computes its share of a batch, gradients are averaged once."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor
from torch import distributed as dist

from ..errors import BackendError, DataError

# The other processes wait while the first one validates, which may take longer than torch's ten minutes.
WAIT = timedelta(hours=12)


@dataclass(frozen=True)
class ProcessGroup:
    """The processes that train together; alone, everything below is free of communication."""

    rank: int
    size: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes and validates."""
        return self.rank == 0

    def share(self, batch: Sequence[Tensor]) -> tuple[Sequence[Tensor], float]:
        """This process's rows of a batch (of axis 0), and the weight of their mean in the batch mean.

        A batch with fewer than two rows for each process is computed by all of them: batch norms need two.
        """
        rows = len(batch[0])
        if self.size == 1:
            return batch, 1.0
        if any(len(tensor) != rows for tensor in batch):
            found = [len(tensor) for tensor in batch]
            raise DataError(f"a batch has tensors of {found} rows along axis 0; expected equal numbers.")
        if rows < 2 * self.size:
            return batch, 1 / self.size
        mine = [torch.tensor_split(tensor, self.size)[self.rank] for tensor in batch]
        return mine, len(mine[0]) / rows

    def average(self, parameters: Sequence[Tensor], values: Tensor, weight: float) -> Tensor:
        """Replace the gradients by their weighted sum over all processes, in one reduction.

        Args:
            parameters: those that are trained; the same of them have gradients in every process.
            values: float32 [count], to be averaged along with the gradients.
            weight: of this process; the weights of all processes sum to 1.

        Returns:
            The averaged values, float32 [count], equal in every process.
        """
        if self.size == 1:
            return values
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients] + [values]) * weight
        dist.all_reduce(flat)
        start = 0
        for gradient in gradients:
            gradient.copy_(flat[start : start + gradient.numel()].view_as(gradient))
            start += gradient.numel()
        return flat[start:]

    def agree(self, value: int) -> int:
        """The first process's value, in every process."""
        if self.size == 1:
            return value
        shared = torch.tensor([value], device=self.device)
        dist.broadcast(shared, src=0)
        return int(shared.item())

    def copy_from_first(self, tensors: Sequence[Tensor]) -> None:
        """Overwrite the tensors of every process by those of the first."""
        if self.size > 1:
            for tensor in tensors:
                dist.broadcast(tensor.detach(), src=0)

    def barrier(self) -> None:
        """Wait until every process is here; a broadcast would let the first one run ahead."""
        if self.size > 1:
            dist.all_reduce(torch.zeros(1, device=self.device))


@contextmanager
def process_group(device: str | torch.device) -> Iterator[ProcessGroup]:
    """The group that torchrun describes in the environment, or a group of one.

    Under torchrun "cuda" means the GPU of the process's local rank. A group that is open already is used and
    left open.

    Raises:
        BackendError: if the device is not there.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    place = _checked_device(torch.device(device), int(os.environ.get("LOCAL_RANK", "0")) if size > 1 else 0)
    if size == 1:
        yield ProcessGroup(0, 1, place)
        return
    opened = not dist.is_initialized()
    if opened:
        dist.init_process_group("nccl" if place.type == "cuda" else "gloo", timeout=WAIT)
    group = ProcessGroup(dist.get_rank(), dist.get_world_size(), place)
    try:
        yield group
        if opened:
            group.barrier()  # a process that leaves early breaks the connections that another one still uses
    finally:
        if opened:
            dist.destroy_process_group()


def _checked_device(device: torch.device, local_rank: int) -> torch.device:
    """The device with its index, current if it is a GPU; or an error that says what is there."""
    if device.type == "cpu":
        return device
    if device.type != "cuda":
        raise BackendError(f"training on device {str(device)!r} asked for; expected 'cpu' or 'cuda'.")
    index = device.index if device.index is not None else local_rank
    present = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if index >= present:
        raise BackendError(
            f"device 'cuda:{index}' asked for, {present} CUDA devices present to torch {torch.__version__}. "
            "Pass device='cpu', start fewer processes, or install a torch with CUDA."
        )
    torch.cuda.set_device(index)
    return torch.device("cuda", index)
