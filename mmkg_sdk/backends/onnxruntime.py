"""ONNX Runtime: the exported graphs on the CPU or with the CUDA execution provider (onnxruntime_cuda.py)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..bundle import Bundle
from ..errors import BackendError, missing_package
from ..kernels import default_threads
from .base import AnyArray, Backend, DeviceArray, parse_device
from .gpus import NVIDIA, has_no_gpu
from .onnxruntime_cuda import (
    CUDA_PROVIDER,
    cuda_provider,
    element_dtype,
    load_libraries,
    node_providers,
    record_providers,
    refuse_work_on_cpu,
)
from .streams import own_stream


def session_options(threads: int | None) -> Any:
    """The SDK's onnxruntime.SessionOptions; None takes `default_threads()`."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # Spinning threads would take the cores from the ranking that follows each run.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    options.intra_op_num_threads = threads or default_threads()
    return options


class OnnxRuntimeBackend(Backend):
    """One session a graph, shared by all threads."""

    name = "onnxruntime"

    @classmethod
    def device_for(cls, device: str) -> str | None:
        """See Backend.device_for."""
        # The package for GPUs names its provider on every machine.
        has_cuda = CUDA_PROVIDER in _providers() and not has_no_gpu(NVIDIA)
        if device == "auto":
            return "cuda" if has_cuda else "cpu"
        return device if parse_device(device)[0] == "cpu" or has_cuda else None

    @classmethod
    def has_precision(cls, precision: str, device: str) -> bool:
        """See Backend.has_precision; there is no bf16 matrix product on the CPU."""
        return precision != "bf16" or parse_device(device)[0] != "cpu"

    @classmethod
    def open(cls, bundle: Bundle, device: str, threads: int | None) -> Self:
        """See Backend.open."""
        found = cls.device_for(device)
        if found is None:
            if CUDA_PROVIDER in _providers():
                raise BackendError(f"device {device!r} asked for, no NVIDIA GPU found here. Pass device='cpu'.")
            raise BackendError(
                f"device {device!r} asked for, but this onnxruntime has only {', '.join(_providers())}. "
                "Run: pip uninstall onnxruntime && pip install 'mmkg_sdk[gpu]', or pass device='cpu'."
            )
        return cls(bundle, found, threads)

    def stream(self) -> int:
        """See Backend.stream; whatever a run gave is whole when it returns, so this stream waits for none."""
        return own_stream(self.device)

    def run(self, graph: str, inputs: Mapping[str, AnyArray]) -> dict[str, NDArray[Any]]:
        """See Backend.run."""
        given = {name: value for name, value in inputs.items() if isinstance(value, np.ndarray)}
        if len(given) < len(inputs):
            return super().run(graph, inputs)
        # Nothing is placed, so no binding is needed.
        session = self._graph(graph)
        names = [output.name for output in session.get_outputs()]
        try:
            outputs = session.run(names, given)
        except Exception as err:  # ONNX Runtime raises its own types, which are not exported
            raise self._failure(graph, inputs, err) from err
        return dict(zip(names, outputs, strict=True))

    def place(self, array: NDArray[Any]) -> DeviceArray:
        """See Backend.place."""
        try:
            return _Placed(self._value(array))
        except Exception as err:  # ONNX Runtime raises its own types, which are not exported
            raise self._not_placed(array, err) from err

    def run_placed(self, graph: str, inputs: Mapping[str, AnyArray]) -> dict[str, DeviceArray]:
        """See Backend.run_placed."""
        session = self._graph(graph)
        names = [output.name for output in session.get_outputs()]
        binding = session.io_binding()
        try:
            for name, value in inputs.items():
                binding.bind_ortvalue_input(name, self._value(value))
            for name in names:
                binding.bind_output(name, *self._place())
            session.run_with_iobinding(binding)
        except Exception as err:  # ONNX Runtime raises its own types, which are not exported
            raise self._failure(graph, inputs, err) from err
        return {name: _Placed(value) for name, value in zip(names, binding.get_outputs(), strict=True)}

    def providers(self) -> dict[str, dict[str, dict[str, int]]]:
        """Of every graph that was opened by now: how many nodes of each operator each provider has."""
        with self._lock:
            return {graph: node_providers(session) for graph, session in (self._opened or {}).items()}

    def _wants_memory(self, err: Exception) -> bool:
        """See Backend; what the arena of the CUDA provider says."""
        return "Failed to allocate memory" in str(err)

    def _value(self, array: AnyArray) -> Any:
        """An onnxruntime.OrtValue on the device."""
        import onnxruntime

        if isinstance(array, _Placed):
            return array.value
        host = array if isinstance(array, np.ndarray) else array.numpy()
        return onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(host), *self._place())

    def _place(self) -> tuple[str, int]:
        return parse_device(self.device)

    def _open(self, graph: str) -> Any:
        import onnxruntime

        kind, index = parse_device(self.device)
        if not self.has_precision(self._bundle.precision, self.device):
            raise BackendError(
                "ONNX Runtime has no bf16 matrix product on the CPU. Pass backend='torch', "
                "or export with --precision fp32."
            )
        provider: Any = "CPUExecutionProvider"
        options, said = session_options(self.threads), ""
        if kind == "cuda":
            provider, said = cuda_provider(index), load_libraries()
        record_providers(options)
        weights = {name: self._bundle.files[name] for name in self._bundle.weight_files(graph)}
        options.add_external_initializers_from_files_in_memory(
            list(weights), list(weights.values()), list(map(len, weights.values()))
        )
        model = bytes(self._bundle.files[f"{graph}.onnx"])
        try:
            # Its own second try, when a session is opened or a call fails, would move to the CPU.
            session = onnxruntime.InferenceSession(model, options, providers=[provider], enable_fallback=0)
        except Exception as err:  # ONNX Runtime raises its own types, which are not exported
            raise BackendError(f"{graph}.onnx could not be opened on {self.device}: {err}") from err
        wanted = provider if isinstance(provider, str) else provider[0]
        # ONNX Runtime moves to the CPU without a word when a provider's libraries do not load.
        if session.get_providers()[0] != wanted:
            raise BackendError(
                f"{wanted} was asked for, ONNX Runtime took {session.get_providers()[0]}: a library of the provider "
                f"did not load. {said}Check the CUDA and cuDNN installation, or pass device='cpu'."
            )
        if kind == "cuda":
            refuse_work_on_cpu(session, graph)
        return session


@dataclass(frozen=True)
class _Placed:
    """An onnxruntime.OrtValue as a DeviceArray."""

    value: Any

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.value.shape())

    @property
    def dtype(self) -> np.dtype[Any]:
        return element_dtype(self.value.data_type())

    @property
    def pointer(self) -> int:
        return int(self.value.data_ptr())

    def numpy(self) -> NDArray[Any]:
        array: NDArray[Any] = self.value.numpy()
        return array

    def __dlpack__(self, *, stream: int | None = None) -> Any:
        return self.value.__dlpack__() if stream is None else self.value.__dlpack__(stream=stream)

    def __dlpack_device__(self) -> Any:
        return self.value.__dlpack_device__()


def _providers() -> list[str]:
    try:
        import onnxruntime
    except ModuleNotFoundError as err:
        raise missing_package("onnxruntime", "cpu", "backend 'onnxruntime'") from err
    except ImportError as err:
        raise BackendError(f"onnxruntime is installed but does not load: {err}. Install it again.") from err
    return list(onnxruntime.get_available_providers())
