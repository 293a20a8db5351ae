"""Backends: what runs the graphs of a bundle on one device.

auto         ONNX Runtime where it is installed and can run the bundle's precision, else torch
onnxruntime  the exported graphs, on the CPU or with the CUDA provider
torch        the same modules that were exported, on any torch device

With "auto" on the CPU, compiled kernels do the work of graphs where they can: MyGO's questions and entities, and
MIMIC's pairs (compiled_query.py, compiled_encoder.py, compiled_interaction.py). A graph is loaded only if it is run
after all; a backend that is named runs the graphs. Rankings are no graph: the compiled kernels do them on any backend
(table_ranking.py).
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from typing import Any, Protocol

from numpy.typing import NDArray

from ..bundle import Bundle
from ..errors import BackendError

BACKENDS = ("onnxruntime", "torch")


class Backend(Protocol):
    """The graphs of one bundle on one device; safe to call from several threads."""

    name: str
    device: str
    threads: int | None
    # Nobody asked for this backend by name, so compiled kernels may do a graph's work (compiled_graph.py).
    automatic: bool

    def prepare(self, graph: str) -> None:
        """Load a graph now rather than when it is first run, so that its errors come now.

        Raises:
            BackendError: the precision has no kernels, or the graph does not load.
        """
        ...

    def run(self, graph: str, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Outputs by name. Inputs have the names, dtypes and shapes of the graph's spec."""
        ...

    def close(self) -> None:
        """Free what the backend holds; later calls fail."""
        ...


def open_backend(bundle: Bundle, backend: str = "auto", device: str = "auto", threads: int | None = None) -> Backend:
    """The backend that was asked for, on the device that was asked for, or an error; nothing is replaced silently.

    Args:
        backend: "auto" or one of BACKENDS.
        device: "auto", "cpu", "cuda" or "cuda:N"; "auto" is "cuda" where the backend finds it, else "cpu".
        threads: CPU threads; None leaves the choice to the library.

    Raises:
        BackendError: unknown name, package not installed or not loadable, device not there.
    """
    if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int) or threads < 1):
        raise BackendError(f"threads is {threads!r}; expected a whole number of at least 1, or None.")
    automatic = backend == "auto"
    if automatic:
        backend = _first_choice(bundle.precision, device)
    opened: Backend
    if backend == "onnxruntime":
        from .onnxruntime import OnnxRuntimeBackend

        opened = OnnxRuntimeBackend.open(bundle, device, threads)
    elif backend == "torch":
        from .torch import TorchBackend

        opened = TorchBackend.open(bundle, device, threads)
    else:
        raise BackendError(f"unknown backend {backend!r}; expected 'auto' or one of {', '.join(BACKENDS)}.")
    opened.automatic = automatic
    return opened


def weights_identity(bundle: Bundle) -> tuple[int, ...] | None:
    """Which weights lie in the folder of a bundle: another export puts another file there."""
    try:
        status = os.stat(bundle.path / "weights.safetensors")
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def check_process(process: int) -> None:
    """Refuse to go on in a forked child: threads and sessions of the parent do not exist there, and calls would hang.

    Args:
        process: the id of the process that opened the backend.
    """
    if os.getpid() != process:
        raise BackendError(
            f"this model was loaded by process {process} and came to process {os.getpid()} by a fork, which its "
            "threads do not survive. Load the bundle in each process, or start them with the 'spawn' method."
        )


def _first_choice(precision: str, device: str) -> str:
    """What "auto" stands for: ONNX Runtime where it has kernels for the precision, else torch."""
    if not importlib.util.find_spec("torch"):
        return "onnxruntime"
    if not importlib.util.find_spec("onnxruntime"):
        return "torch"
    if precision != "bf16" or device.startswith("cuda"):
        return "onnxruntime"
    import onnxruntime

    on_gpu = device == "auto" and "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    return "onnxruntime" if on_gpu else "torch"


def parse_device(device: str) -> tuple[str, int]:
    """("cpu", 0) or ("cuda", N) from "cpu", "cuda" or "cuda:N"."""
    kind, _, index = device.partition(":")
    if kind not in ("cpu", "cuda") or (index and not index.isdecimal()) or (kind == "cpu" and index):
        raise BackendError(f"unknown device {device!r}; expected 'auto', 'cpu', 'cuda' or 'cuda:N'.")
    return kind, int(index or 0)
