"""CompiledGraph: a graph of a bundle whose work the compiled kernels do on the CPU.

The graph stays what it is: whoever names it gets it, on the backend. Only where nobody asked for a backend by name, and
no graph is named, kernels that are made of its weights do its work, several times faster.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..bundle import Bundle
from ..files.tensors import BFLOAT16_BITS, tensors_in
from ..kernels import library

Kernel = TypeVar("Kernel")
Weights = dict[str, NDArray[Any]]


def kernels_absence(device: str) -> str | None:
    """Why no compiled kernels can stand in for graphs on a device; None if they can."""
    if device != "cpu":
        return f"the compiled kernels run on the CPU, and this is {device}"
    found = library()
    return found if isinstance(found, str) else None


class CompiledGraph(Generic[Kernel]):
    """What was made of the weights of one graph. Safe to call from several threads.

    Weights are read when it is first used, from the file that the bundle verified.

    Args:
        graph: name of the graph.
        make: from its weights by name, without the graph's, as they are stored: float32, float16, or the bits of
            bfloat16 (`as_float32` makes one of all). They are memory maps, which what it makes may keep.
    """

    def __init__(self, bundle: Bundle, graph: str, make: Callable[[Weights], Kernel]) -> None:
        self.bundle = bundle
        self.graph = graph
        self._make = make
        self._lock = threading.Lock()
        self._kernel: Kernel | None = None

    def kernel(self) -> Kernel:
        """What `make` gave.

        Raises:
            BackendError: what `make` raises.
        """
        with self._lock:
            if self._kernel is None:
                self._kernel = self._open()
            return self._kernel

    def _open(self) -> Kernel:
        prefix = f"{self.graph}."
        weights = tensors_in(self.bundle.files["weights.safetensors"], prefix)
        return self._make({name.removeprefix(prefix): array for name, array in weights.items()})


def as_float32(array: NDArray[Any]) -> NDArray[Any]:
    """A weight in float16 or bfloat16 as float32, which holds each of their numbers; any other as it is."""
    if array.dtype == np.float16:
        return array.astype(np.float32)
    if array.dtype == BFLOAT16_BITS:
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array
