"""Torch: the modules that were exported, with the bundle's weights, on any torch device."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from numpy.typing import NDArray

from ..bundle import Bundle
from ..errors import BackendError, BundleError, DataError, missing_package
from ..registry import family_part
from .base import check_process, parse_device, weights_identity


class TorchBackend:
    """All graphs of one bundle as torch modules, which are loaded when the first is run or prepared."""

    name = "torch"
    automatic = False

    def __init__(self, bundle: Bundle, device: str, threads: int | None) -> None:
        self.device = device
        self.threads = threads
        self._bundle = bundle
        self._process = os.getpid()
        self._weights = weights_identity(bundle)
        self._outputs = {graph: [tensor["name"] for tensor in spec["outputs"]] for graph, spec in bundle.graphs.items()}
        self._modules: dict[str, Any] | None = None
        self._lock = threading.Lock()
        self._closed = False

    @classmethod
    def open(cls, bundle: Bundle, device: str, threads: int | None) -> TorchBackend:
        """Check that package and device are there; on a machine without a GPU torch itself is not loaded yet."""
        if not find_spec("torch"):
            raise missing_package("torch", "train", "backend 'torch'")
        return cls(bundle, torch_device(device), threads)

    def prepare(self, graph: str) -> None:
        """See Backend.prepare; all graphs are loaded at once."""
        self._module(graph)

    def run(self, graph: str, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """See Backend.run."""
        module = self._module(graph)
        import torch

        # from_numpy warns about read-only arrays; the modules never write to their inputs.
        arrays = {name: array if array.flags.writeable else array.copy() for name, array in inputs.items()}
        try:
            with torch.inference_mode():
                found = module(**{name: torch.from_numpy(a).to(self.device) for name, a in arrays.items()})
            outputs = found if isinstance(found, tuple) else (found,)
            return {name: output.cpu().numpy() for name, output in zip(self._outputs[graph], outputs, strict=True)}
        except Exception as err:  # torch raises a different type for each way an input can be wrong
            shapes = {name: list(array.shape) for name, array in inputs.items()}
            raise BackendError(f"graph {graph} failed on {self.device} with inputs {shapes}: {err}") from err

    def close(self) -> None:
        """See Backend.close."""
        with self._lock:
            self._closed = True
            self._modules = None

    def _module(self, graph: str) -> Any:
        check_process(self._process)
        with self._lock:
            if self._closed:
                raise BackendError("this model is closed. Load the bundle again.")
            if self._modules is None:
                self._modules = self._load()
            if graph not in self._modules:
                raise BackendError(f"this bundle has no graph {graph!r}; it has {', '.join(self._modules)}.")
            return self._modules[graph]

    def _load(self) -> dict[str, Any]:
        """The modules of the bundle's configuration, with its weights."""
        torch = _loaded_torch()
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        bundle = self._bundle
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        try:
            weights = load_file(bundle.path / "weights.safetensors")
            modules = family_part(bundle.family, "graphs").load_modules(bundle.config, bundle.precision, weights)
        except (SafetensorError, RuntimeError, KeyError, DataError, OSError) as err:
            raise BundleError(f"{bundle.path / 'weights.safetensors'} does not fit the configuration: {err}") from err
        if weights_identity(bundle) != self._weights:
            raise BackendError(
                f"{bundle.path} was replaced since this model was loaded, so its weights may not belong to its table. "
                "Load the bundle again."
            )
        return {name: module.to(self.device) for name, module in modules.items()}


def torch_device(device: str) -> str:
    """A device that torch has; "auto" is "cuda" where there is one, else "cpu".

    Raises:
        BackendError: unknown name, or the device is not there.
    """
    if device == "cpu" or (device == "auto" and _has_no_gpu()):
        return "cpu"
    torch = _loaded_torch()
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, index = parse_device(device)
    if kind == "cuda" and index >= torch.cuda.device_count():
        raise BackendError(
            f"device {device!r} asked for, {torch.cuda.device_count()} CUDA devices present. Pass device='cpu'."
        )
    return device


def _loaded_torch() -> Any:
    try:
        import torch
    except ModuleNotFoundError as err:
        raise missing_package("torch", "train", "backend 'torch'") from err
    except ImportError as err:
        raise BackendError(f"torch is installed but does not load: {err}. Install it again.") from err
    return torch


def _has_no_gpu() -> bool:
    """Whether this is a Linux without a device of any GPU driver, so that torch, which takes a second, need not say.

    The names are those of NVIDIA (also Tegra's and Windows Subsystem for Linux's) and of AMD.
    """
    names = ("nvidia", "nvhost", "nvgpu", "nvmap", "dxg", "kfd")
    return sys.platform == "linux" and not any(entry.startswith(names) for entry in os.listdir("/dev"))
