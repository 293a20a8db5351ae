"""Torch: the modules that were exported, with the bundle's weights, on any torch device."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from ..bundle import QUANTIZED, Bundle
from ..bundle.config import FamilyConfig
from ..errors import BackendError, BundleError, DataError, missing_package
from ..files.tensors import BFLOAT16_BITS, tensors_in
from ..registry import family_part
from .base import AnyArray, Backend, DeviceArray, parse_device
from .torch_threads import use_torch_threads

if TYPE_CHECKING:
    from torch import Tensor, nn


class TorchBackend(Backend):
    """All graphs of one bundle as torch modules, which are loaded when the first is run or prepared."""

    name = "torch"

    def __init__(self, bundle: Bundle, device: str, threads: int | None) -> None:
        super().__init__(bundle, device, threads)
        self._modules: dict[str, nn.Module] = {}

    @classmethod
    def device_for(cls, device: str) -> str | None:
        """See Backend.device_for; on a machine without a GPU torch itself is not loaded."""
        if device == "cpu" or (device == "auto" and _has_no_gpu()):
            return "cpu"
        torch = _loaded_torch()
        if device == "auto":
            return "cuda" if torch.cuda.is_available() else "cpu"
        kind, index = parse_device(device)
        return device if kind == "cpu" or index < torch.cuda.device_count() else None

    @classmethod
    def has_precision(cls, precision: str, device: str) -> bool:
        """See Backend.has_precision; Q/DQ nodes are of the graphs, and the modules do not have them."""
        return precision not in QUANTIZED

    @classmethod
    def open(cls, bundle: Bundle, device: str, threads: int | None) -> Self:
        """See Backend.open."""
        if not find_spec("torch"):
            raise missing_package("torch", "train", "backend 'torch'")
        if not cls.has_precision(bundle.precision, device):
            raise BackendError(
                f"torch does not run bundles in {bundle.precision}: what is rounded, the ONNX graphs say alone. Pass "
                "backend='onnxruntime' or 'auto'."
            )
        return cls(bundle, torch_device(device), threads)

    def place(self, array: NDArray[Any]) -> DeviceArray:
        """See Backend.place."""
        return _Placed(self._tensor(array))

    def run_placed(self, graph: str, inputs: Mapping[str, AnyArray]) -> dict[str, DeviceArray]:
        """See Backend.run_placed."""
        module = self._graph(graph)
        import torch

        try:
            with torch.inference_mode():
                found = module(**{name: self._tensor(value) for name, value in inputs.items()})
        except Exception as err:  # torch raises a different type for each way an input can be wrong
            raise self._failure(graph, inputs, err) from err
        outputs = found if isinstance(found, tuple) else (found,)
        names = [tensor.name for tensor in self._bundle.graphs[graph].outputs]
        if len(names) != len(outputs):
            raise BackendError(f"graph {graph} gave {len(outputs)} outputs, bundle.json names {names}. Export again.")
        return {name: _Placed(output) for name, output in zip(names, outputs, strict=True)}

    def close(self) -> None:
        """See Backend.close."""
        super().close()
        self._modules = {}

    def _tensor(self, value: AnyArray) -> Tensor:
        import torch

        if isinstance(value, np.ndarray):
            # from_numpy warns about read-only arrays; the modules never write to their inputs.
            return torch.from_numpy(value if value.flags.writeable else value.copy()).to(self.device)
        return value.tensor if isinstance(value, _Placed) else torch.utils.dlpack.from_dlpack(value)

    def _open(self, graph: str) -> nn.Module:
        if not self._modules:  # weights of all graphs lie in one file
            self._modules = self._load()
        if graph not in self._modules:
            raise BackendError(f"this bundle has no graph {graph!r}; it has {', '.join(self._modules)}.")
        return self._modules[graph]

    def _load(self) -> dict[str, nn.Module]:
        """The modules of the bundle's configuration, with its weights."""
        _loaded_torch()
        bundle = self._bundle
        use_torch_threads(self.threads)
        modules_of: Callable[[FamilyConfig, str, dict[str, Tensor]], dict[str, nn.Module]]
        modules_of = family_part(bundle.family, "graphs").load_modules
        path = bundle.path / "weights.safetensors"
        try:
            modules = modules_of(bundle.config, bundle.precision, torch_weights(bundle))
        except (RuntimeError, KeyError, DataError) as err:
            raise BundleError(f"{path} does not fit the configuration: {err}") from err
        return {name: module.to(self.device) for name, module in modules.items()}


@dataclass(frozen=True)
class _Placed:
    """A tensor as a DeviceArray."""

    tensor: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.tensor.shape)

    def numpy(self) -> NDArray[Any]:
        array: NDArray[Any] = self.tensor.cpu().numpy()
        return array

    def __dlpack__(self, **arguments: Any) -> Any:
        return self.tensor.__dlpack__(**arguments)

    def __dlpack_device__(self) -> Any:
        return self.tensor.__dlpack_device__()


def torch_weights(bundle: Bundle) -> dict[str, Tensor]:
    """The weights of a bundle by name, on the CPU."""
    import torch

    found = {}
    for name, array in tensors_in(bundle.files["weights.safetensors"]).items():
        tensor = torch.from_numpy(array.copy())  # torch has no tensors that cannot be written to
        found[name] = tensor.view(torch.bfloat16) if array.dtype == BFLOAT16_BITS else tensor
    return found


def torch_device(device: str) -> str:
    """A device that torch has; "auto" is "cuda" where there is one, else "cpu".

    Raises:
        BackendError: unknown name, or the device is not there.
    """
    found = TorchBackend.device_for(device)
    if found is None:
        count = _loaded_torch().cuda.device_count()
        raise BackendError(f"device {device!r} asked for, {count} CUDA devices present. Pass device='cpu'.")
    return found


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
