"""What a training asks of its device before it begins and while it runs, and what it says of it afterwards."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ...errors import BackendError
from ...families.objective import TrainingObjective

_MIB = 1 << 20
# Options of glibc's mallopt (malloc.h), and the highest values that glibc chooses by itself.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_GLIBC = {_TRIM_THRESHOLD: 64 * _MIB, _MMAP_THRESHOLD: 32 * _MIB}


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


@contextmanager
def keeping_freed_memory(device: torch.device) -> Iterator[None]:
    """On the CPU, what a step frees stays in the process for the next one, where the C library is glibc.

    Else glibc gives large blocks back, and the system zeroes every page of them when the next step asks again: half of
    the time of AdaMF-MAT's steps on the atlas, a third of MIMIC's. A training in chunks of nothing but large blocks
    takes up to half as much memory more. The thresholds are the whole process's, and cannot be read: at the end they
    are the highest that glibc chooses by itself, and what is free goes back.
    """
    c_library = ctypes.CDLL(None)
    if device.type != "cpu" or not hasattr(c_library, "mallopt") or not hasattr(c_library, "malloc_trim"):
        yield
        return
    c_library.mallopt(_TRIM_THRESHOLD, (1 << 31) - 1)
    c_library.mallopt(_MMAP_THRESHOLD, 1 << 30)
    try:
        yield
    finally:
        for option, value in _GLIBC.items():
            c_library.mallopt(option, value)
        c_library.malloc_trim(0)
