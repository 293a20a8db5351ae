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
from ..errors import BundleError
from ..files.tensors import BFLOAT16_BITS, map_tensors
from ..kernels import library
from .base import check_weights, weights_identity

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

    Weights are read when it is first used; they must still be those that lay in the bundle's folder when this was made.

    Args:
        graph: name of the graph.
        make: from its weights by name, without the graph's, as they are stored: float32, float16, or the bits of
            bfloat16 (`as_float32` makes one of all). They are memory maps, which what it makes may keep.
    """

    def __init__(self, bundle: Bundle, graph: str, make: Callable[[Weights], Kernel]) -> None:
        self.bundle = bundle
        self.graph = graph
        self._make = make
        self._weights = weights_identity(bundle)
        self._lock = threading.Lock()
        self._kernel: Kernel | None = None

    def kernel(self) -> Kernel:
        """What `make` gave.

        Raises:
            BundleError: the weights are unreadable.
            BackendError: the folder was replaced, and what `make` raises.
        """
        with self._lock:
            if self._kernel is None:
                self._kernel = self._open()
            return self._kernel

    def _open(self) -> Kernel:
        from safetensors import SafetensorError

        path, prefix = self.bundle.path / "weights.safetensors", f"{self.graph}."
        try:
            mapped = map_tensors(path, prefix)
        except (SafetensorError, OSError, KeyError, ValueError) as err:
            raise BundleError(f"{path} cannot be read: {err}. Fetch the bundle again.") from err
        kernel = self._make({name.removeprefix(prefix): array for name, array in mapped.items()})
        check_weights(self.bundle, self._weights, self.graph)
        return kernel


def as_float32(array: NDArray[Any]) -> NDArray[Any]:
    """A weight in float16 or bfloat16 as float32, which holds each of their numbers; any other as it is."""
    if array.dtype == np.float16:
        return array.astype(np.float32)
    if array.dtype == BFLOAT16_BITS:
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array
