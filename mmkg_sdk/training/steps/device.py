"""What a training asks of its GPU before it begins, and what it says of it afterwards."""

from __future__ import annotations

import torch

from ...errors import BackendError
from ...families.objective import TrainingObjective

_MIB = 1 << 20


def check_memory(objective: TrainingObjective, device: torch.device) -> None:
    """Whether a GPU has room for what a training cannot do without; activations come on top of it.

    Raises:
        BackendError: it has not.
    """
    if device.type == "cuda":
        refuse_too_large(least_bytes(objective), torch.cuda.mem_get_info(device)[0], device)


def refuse_too_large(needed_bytes: int, free_bytes: int, device: torch.device) -> None:
    """See `check_memory`."""
    if needed_bytes > free_bytes:
        raise BackendError(
            f"the model with its gradients and Adam's two moments takes {needed_bytes / _MIB:,.0f} MiB, {device} has "
            f"{free_bytes / _MIB:,.0f} MiB free. End what else uses it, take another GPU, or pass --device cpu."
        )


def least_bytes(objective: TrainingObjective) -> int:
    """Parameters and buffers, and for each trained parameter its gradient and Adam's two moments."""
    parameters, trained = list(objective.parameters()), [p for p in objective.parameters() if p.requires_grad]
    kept = [*parameters, *objective.buffers(), *trained, *trained, *trained]
    return sum(tensor.numel() * tensor.element_size() for tensor in kept)


def peak_memory_mib(device: torch.device) -> float | None:
    """The most memory that tensors took on the GPU in this process so far, without the GPU's own; None on the CPU."""
    return torch.cuda.max_memory_allocated(device) / _MIB if device.type == "cuda" else None
