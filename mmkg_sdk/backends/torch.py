"""Torch: the modules that were exported, with the bundle's weights, on any torch device.

On a GPU every calling thread has a stream of its own (torch_arrays.py), copies of at most 64 MiB go through page-locked
memory, and float32 products are full ones: TF32 is off for the whole process from the first load on. Never run there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Self

from numpy.typing import NDArray

from ..bundle import QUANTIZED, Bundle
from ..bundle.config import FamilyConfig
from ..errors import BackendError, BundleError, DataError, missing_package
from ..files.tensors import BFLOAT16_BITS, tensors_in
from ..registry import family_part
from .base import AnyArray, Backend, DeviceArray, parse_device
from .gpus import has_no_gpu
from .torch_arrays import TorchDevice
from .torch_precision import use_full_float32
from .torch_threads import use_torch_threads

if TYPE_CHECKING:
    from torch import Tensor, nn


class TorchBackend(Backend):
    """All graphs of one bundle as torch modules, which are loaded when the first is run or prepared."""

    name = "torch"

    def __init__(self, bundle: Bundle, device: str, threads: int | None) -> None:
        super().__init__(bundle, device, threads)
        self._arrays = TorchDevice(device)
        self._modules: dict[str, nn.Module] = {}

    @classmethod
    def device_for(cls, device: str) -> str | None:
        """See Backend.device_for; on a machine without a GPU torch itself is not loaded."""
        if device == "cpu" or (device == "auto" and has_no_gpu()):
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
        try:
            with self._arrays.current():
                placed = self._arrays.placed(self._arrays.tensor(array))
            if placed.stream is not None:
                placed.stream.synchronize()  # whoever reads it, on whatever stream
        except RuntimeError as err:
            raise self._not_placed(array, err) from err
        return placed

    def join(self, arrays: Sequence[DeviceArray]) -> DeviceArray:
        """See Backend.join."""
        import torch

        try:
            with torch.inference_mode(), self._arrays.current():
                return self._arrays.placed(torch.cat([self._arrays.tensor(array) for array in arrays]))
        except RuntimeError as err:
            raise self._not_joined(arrays, err) from err

    def run_placed(self, graph: str, inputs: Mapping[str, AnyArray]) -> dict[str, DeviceArray]:
        """See Backend.run_placed."""
        module = self._graph(graph)
        import torch

        try:
            with torch.inference_mode(), self._arrays.current():
                found = module(**{name: self._arrays.tensor(value) for name, value in inputs.items()})
                outputs = [self._arrays.placed(output) for output in (found if isinstance(found, tuple) else (found,))]
        except Exception as err:  # torch raises a different type for each way an input can be wrong
            raise self._failure(graph, inputs, err) from err
        names = [tensor.name for tensor in self._bundle.graphs[graph].outputs]
        if len(names) != len(outputs):
            raise BackendError(f"graph {graph} gave {len(outputs)} outputs, bundle.json names {names}. Export again.")
        return dict(zip(names, outputs, strict=True))

    def stream(self) -> int:
        """See Backend.stream."""
        stream = self._arrays.stream()
        return 0 if stream is None else int(stream.cuda_stream)

    def _wants_memory(self, err: Exception) -> bool:
        """See Backend."""
        import torch

        return isinstance(err, torch.OutOfMemoryError)

    def close(self) -> None:
        """See Backend.close."""
        super().close()
        self._modules = {}

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
        if self.device.startswith("cuda"):
            use_full_float32()
        modules_of: Callable[[FamilyConfig, str, dict[str, Tensor]], dict[str, nn.Module]]
        modules_of = family_part(bundle.family, "graphs").load_modules
        path = bundle.path / "weights.safetensors"
        try:
            modules = modules_of(bundle.config, bundle.precision, torch_weights(bundle))
        except (RuntimeError, KeyError, DataError) as err:
            raise BundleError(f"{path} does not fit the configuration: {err}") from err
        return {name: module.to(self.device) for name, module in modules.items()}


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
