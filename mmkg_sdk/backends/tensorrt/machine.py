"""Machine: where engines are built, with a GPU or without one."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...kernels.gpu import Gpu

# How TensorRT, CUDA, Myelin and C++ say that memory was short.
_SHORTAGE = ("out of memory", "outofmemory", "workspace limit", "insufficient memory", "bad_alloc", "mem_alloc")


@dataclass(frozen=True)
class Machine:
    """Where engines are built or opened. Without arguments, a machine without a GPU.

    Attributes:
        capability: compute capability of the GPU, like "9.0"; None where there is none.
        entered: a context in which the GPU is the calling thread's.
        gpu_memory: (free, all) bytes of the GPU.
    """

    capability: str | None = None
    entered: Callable[[], AbstractContextManager[None]] = nullcontext
    gpu_memory: Callable[[], tuple[int, int]] | None = None

    @classmethod
    def of(cls, gpu: Gpu) -> Machine:
        """The machine of a GPU."""
        major, minor = gpu.compute_capability
        return cls(f"{major}.{minor}", gpu.entered, gpu.memory)

    def free_memory(self) -> str:
        """How much memory there is, for messages."""
        try:
            free = f"{os.sysconf('SC_AVPHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') >> 20:,} MiB"
        except (AttributeError, ValueError, OSError):  # Windows
            free = "an unknown amount"
        host = f"{free} of the machine free"
        return host if self.gpu_memory is None else f"{self.gpu_memory()[0] >> 20:,} MiB of the GPU and {host}"


def is_shortage(words: str) -> bool:
    """Whether an error of the library means that memory was short."""
    return any(sign in words.lower() for sign in _SHORTAGE)
