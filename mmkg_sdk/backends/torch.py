"""Torch: the modules that were exported, with the bundle's weights, on any torch device."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from ..bundle import Bundle
from ..errors import BackendError, BundleError, DataError, missing_package
from ..families import family_part
from . import check_process, parse_device


class TorchBackend:
    """All graphs of one bundle as torch modules."""

    name = "torch"
    automatic = False

    def __init__(self, bundle: Bundle, device: str, threads: int | None, modules: dict[str, Any]) -> None:
        self.device = device
        self.threads = threads
        self._process = os.getpid()
        self._outputs = {graph: [tensor["name"] for tensor in spec["outputs"]] for graph, spec in bundle.graphs.items()}
        self._modules = modules
        self._lock = threading.Lock()

    @classmethod
    def open(cls, bundle: Bundle, device: str, threads: int | None) -> TorchBackend:
        """Rebuild the modules from the bundle's configuration and load its weights."""
        try:
            import torch
        except ModuleNotFoundError as err:
            raise missing_package("torch", "train", "backend 'torch'") from err
        except ImportError as err:
            raise BackendError(f"torch is installed but does not load: {err}. Install it again.") from err
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        device = torch_device(device)
        if threads is not None:
            torch.set_num_threads(threads)
        try:
            weights = load_file(bundle.path / "weights.safetensors")
            modules = family_part(bundle.family, "graphs").load_modules(bundle.config, bundle.precision, weights)
        except (SafetensorError, RuntimeError, KeyError, DataError, OSError) as err:
            raise BundleError(f"{bundle.path / 'weights.safetensors'} does not fit the configuration: {err}") from err
        return cls(bundle, device, threads, {name: module.to(device) for name, module in modules.items()})

    def run(self, graph: str, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """See Backend.run."""
        import torch

        check_process(self._process)
        with self._lock:
            modules = self._modules
        if not modules:
            raise BackendError("this model is closed. Load the bundle again.")
        if graph not in modules:
            raise BackendError(f"this bundle has no graph {graph!r}; it has {', '.join(modules)}.")
        # from_numpy warns about read-only arrays; the modules never write to their inputs.
        arrays = {name: array if array.flags.writeable else array.copy() for name, array in inputs.items()}
        try:
            with torch.inference_mode():
                found = modules[graph](**{name: torch.from_numpy(a).to(self.device) for name, a in arrays.items()})
            outputs = found if isinstance(found, tuple) else (found,)
            return {name: output.cpu().numpy() for name, output in zip(self._outputs[graph], outputs, strict=True)}
        except Exception as err:  # torch raises a different type for each way an input can be wrong
            shapes = {name: list(array.shape) for name, array in inputs.items()}
            raise BackendError(f"graph {graph} failed on {self.device} with inputs {shapes}: {err}") from err

    def close(self) -> None:
        """See Backend.close."""
        with self._lock:
            self._modules = {}


def torch_device(device: str) -> str:
    """A device that torch has; "auto" is "cuda" where there is one, else "cpu".

    Raises:
        BackendError: unknown name, or the device is not there.
    """
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, index = parse_device(device)
    if kind == "cuda" and index >= torch.cuda.device_count():
        raise BackendError(
            f"device {device!r} asked for, {torch.cuda.device_count()} CUDA devices present. Pass device='cpu'."
        )
    return device
