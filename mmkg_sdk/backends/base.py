"""Backends: what runs the graphs of a bundle on one device.

auto         the first of those below that can run the bundle's precision on the device
onnxruntime  the exported graphs, on the CPU or with the CUDA provider
torch        the same modules that were exported, on any torch device
tensorrt     engines that TensorRT builds of the exported graphs, on a GPU; "auto" never takes it, as the first use of a
             graph may build for minutes (never run on a GPU yet)

With "auto", compiled kernels do the work of graphs where a family has some for the device (`stand_ins` in its
runtime.py); a graph is loaded only if it is run after all. A backend that is named runs the graphs. Rankings are no
graph: see tables.py.

To add a backend: a subclass of `Backend` in a file of its own, and a line in BACKENDS.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol, Self
from weakref import WeakSet

import numpy as np
from numpy.typing import NDArray

from ..bundle import Bundle
from ..errors import BackendError

# Those of this process, and those that came to it by a fork.
_LIVING: WeakSet[Backend] = WeakSet()

# Name -> module here and class in it, in the order in which "auto" asks.
BACKENDS = {
    "onnxruntime": ("onnxruntime", "OnnxRuntimeBackend"),
    "torch": ("torch", "TorchBackend"),
    "tensorrt": ("tensorrt", "TensorRtBackend"),
}
# Those that "auto" does not ask: nobody should wait for an engine's build who did not ask for one.
_NAMED_ONLY = ("tensorrt",)


class DeviceArray(Protocol):
    """A C-contiguous array on a backend's device.

    torch, CuPy and others read it where it lies: `torch.from_dlpack(array)` waits, on the device, for what makes it.
    """

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of its elements. Raises TypeError: one that numpy does not know (bfloat16, but for ml_dtypes)."""
        ...

    @property
    def pointer(self) -> int:
        """Address of its first element on the device.

        What lies there is whole for work on the `Backend.stream()` of the thread that made the array; anyone else
        synchronises with that stream first.
        """
        ...

    def numpy(self) -> NDArray[Any]:
        """The array on the host, whole; a copy unless the device is the CPU."""
        ...

    def __dlpack__(self) -> Any: ...

    def __dlpack_device__(self) -> Any: ...


# What a graph takes: from the host, or placed on the backend's device before.
AnyArray = NDArray[Any] | DeviceArray


class OutOfDeviceMemory(BackendError):
    """The device had too little memory for what it was given at a time."""


class Backend(ABC):
    """The graphs of one bundle on one device; safe to call from several threads. Use `open_backend`.

    A graph is opened when it is first prepared or run, in the process that opened the backend. What it is made of is
    what the bundle verified, whatever lies in its folder by then.

    Attributes:
        device: "cpu", "cuda" or "cuda:N".
        threads: on the CPU; None takes `kernels.default_threads()`.
    """

    name: ClassVar[str]

    def __init__(self, bundle: Bundle, device: str, threads: int | None) -> None:
        self.device = device
        self.threads = threads
        self._bundle = bundle
        self._process = os.getpid()
        self._opened: dict[str, Any] | None = {}
        self._lock = threading.Lock()
        _LIVING.add(self)

    @classmethod
    @abstractmethod
    def device_for(cls, device: str) -> str | None:
        """The device that this backend would take for "auto", "cpu", "cuda" or "cuda:N"; None if it has none such.

        Raises:
            BackendError: the package is not installed or does not load.
        """

    @classmethod
    @abstractmethod
    def has_precision(cls, precision: str, device: str) -> bool:
        """Whether it multiplies weights in this precision on a device."""

    @classmethod
    @abstractmethod
    def open(cls, bundle: Bundle, device: str, threads: int | None) -> Self:
        """Check that package and device are there.

        Raises:
            BackendError: they are not.
        """

    def prepare(self, graph: str) -> None:
        """Load a graph now rather than when it is first run, so that its errors come now.

        Raises:
            BackendError: the precision has no kernels, or the graph does not load.
        """
        self._graph(graph)

    def run(self, graph: str, inputs: Mapping[str, AnyArray]) -> dict[str, NDArray[Any]]:
        """Outputs by name, on the host. Inputs have the names, dtypes and shapes of the graph's spec."""
        return {name: output.numpy() for name, output in self.run_placed(graph, inputs).items()}

    @abstractmethod
    def place(self, array: NDArray[Any]) -> DeviceArray:
        """The array on the device, to be an input of many runs of any thread; on the CPU it may be the array itself.

        Raises:
            BackendError: it cannot be copied there, for want of memory for example.
        """

    def join(self, arrays: Sequence[DeviceArray]) -> DeviceArray:
        """The rows of several arrays one behind the other, to be an input of this thread's runs.

        On a GPU they stay there, unless the backend says otherwise.

        Args:
            arrays: at least one, placed here or given by runs of any thread, alike but for their first axis.

        Raises:
            BackendError: there is no memory for it.
        """
        return self.place(np.concatenate([array.numpy() for array in arrays]))

    @abstractmethod
    def run_placed(self, graph: str, inputs: Mapping[str, AnyArray]) -> dict[str, DeviceArray]:
        """Like `run`, but the outputs stay on the device, to be inputs of the next run.

        It may return before the device is done; see `stream`.
        """

    def stream(self) -> int:
        """The CUDA stream that this thread's runs are ordered on, as a CUstream handle; 0 on the CPU.

        A kernel launched there reads what `run_placed` gave to this thread, without a wait on the host. Each thread has
        its own, so that callers do not wait for each other.
        """
        return 0

    def close(self) -> None:
        """Free what the backend holds; later calls fail."""
        with self._lock:
            self._opened = None

    def _graph(self, graph: str) -> Any:
        """What `_open` gave for a graph."""
        if os.getpid() != self._process:  # threads and sessions of the parent do not exist here, and calls would hang
            raise BackendError(
                f"this model was loaded by process {self._process} and came to process {os.getpid()} by a fork, which "
                "its threads do not survive. Load the bundle in this process, where torch gets one thread; or start "
                "processes with the 'spawn' method."
            )
        with self._lock:
            if self._opened is None:
                raise BackendError("this model is closed. Load the bundle again.")
            if graph not in self._opened:
                if graph not in self._bundle.graphs:
                    known = ", ".join(self._bundle.graphs)
                    raise BackendError(f"this bundle has no graph {graph!r}; it has {known}.")
                self._opened[graph] = self._open(graph)
            return self._opened[graph]

    @abstractmethod
    def _open(self, graph: str) -> Any:
        """What runs a graph of the bundle, made of the files that the bundle read."""

    def _failure(self, graph: str, inputs: Mapping[str, AnyArray], err: Exception) -> BackendError:
        shapes = {name: list(array.shape) for name, array in inputs.items()}
        kind = OutOfDeviceMemory if self._wants_memory(err) else BackendError
        return kind(f"graph {graph} failed on {self.device} with inputs {shapes}: {err}")

    def _not_placed(self, array: NDArray[Any], err: Exception) -> BackendError:
        kind = OutOfDeviceMemory if self._wants_memory(err) else BackendError
        return kind(f"an array of {array.nbytes:,} bytes could not be copied to {self.device}: {err}")

    def _not_joined(self, arrays: Sequence[DeviceArray], err: Exception) -> BackendError:
        kind = OutOfDeviceMemory if self._wants_memory(err) else BackendError
        shapes = [list(array.shape) for array in arrays]
        return kind(f"arrays of shapes {shapes} could not be put together on {self.device}: {err}")

    def _wants_memory(self, err: Exception) -> bool:
        """Whether a runtime's error says that the device has too little memory, so that less at a time may do."""
        return False


def _leave_to_parent() -> None:
    """In a forked child: never free what the parent has opened. ONNX Runtime would look for its threads, and crash."""
    for backend in _LIVING:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(backend._opened))
        backend._lock = threading.Lock()  # a thread that is not here may hold it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)


def open_backend(bundle: Bundle, backend: str = "auto", device: str = "auto", threads: int | None = None) -> Backend:
    """The backend that was asked for, on the device that was asked for, or an error; nothing is replaced silently.

    Args:
        backend: "auto" or one of BACKENDS.
        device: "auto", "cpu", "cuda" or "cuda:N"; "auto" is "cuda" where the backend finds it, else "cpu".
        threads: CPU threads; None takes `kernels.default_threads()`.

    Raises:
        BackendError: unknown name, package not installed or not loadable, device not there.
    """
    if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int) or threads < 1):
        raise BackendError(f"threads is {threads!r}; expected a whole number of at least 1, or None.")
    if device != "auto":
        parse_device(device)
    if backend == "auto":
        return _first_choice(bundle.precision, device).open(bundle, device, threads)
    return _backend_class(backend).open(bundle, device, threads)


def _backend_class(name: str) -> type[Backend]:
    if name not in BACKENDS:
        raise BackendError(f"unknown backend {name!r}; expected 'auto' or one of {', '.join(BACKENDS)}.")
    module, class_name = BACKENDS[name]
    found: type[Backend] = getattr(importlib.import_module(f".{module}", __package__), class_name)
    return found


def _first_choice(precision: str, device: str) -> type[Backend]:
    """What "auto" stands for: the first that has the device and the precision; of those without, the first installed.

    "auto" for the device is a GPU where any backend has one.
    """
    asked = [name for name in BACKENDS if name not in _NAMED_ONLY]
    installed = [_backend_class(name) for name in asked if importlib.util.find_spec(name)]
    devices = {kind: kind.device_for(device) for kind in installed}
    best = "cuda" if any(found and found.startswith("cuda") for found in devices.values()) else "cpu"
    for kind, found in devices.items():
        if found and found.startswith(best) and kind.has_precision(precision, found):
            return kind
    return (installed or [_backend_class(next(iter(BACKENDS)))])[0]


def devices_found() -> dict[str, str]:
    """What each backend takes for the device "auto", by name, or why it cannot be used.

    The backend "auto" takes the first of those that have the best of these devices and the bundle's precision.
    """
    found = {}
    for name in BACKENDS:
        try:
            found[name] = _backend_class(name).device_for("auto") or "no device"
        except BackendError as err:
            found[name] = str(err)
    return found


def parse_device(device: str) -> tuple[str, int]:
    """("cpu", 0) or ("cuda", N) from "cpu", "cuda" or "cuda:N"."""
    kind, _, index = device.partition(":")
    if kind not in ("cpu", "cuda") or (index and not index.isdecimal()) or (kind == "cpu" and index):
        raise BackendError(f"unknown device {device!r}; expected 'auto', 'cpu', 'cuda' or 'cuda:N'.")
    return kind, int(index or 0)
