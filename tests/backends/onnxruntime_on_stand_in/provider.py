"""A stand-in for ONNX Runtime's CUDA provider: graphs run on the CPU, on the memory of the GPU that is none.

Sessions are real ones of the CPU provider, with the options that they were given: sizes are fixed, and weights are read
where they lie, for real. What stands in is the provider's way with memory, streams and CUDA graphs, as its documents
say it: with `enable_cuda_graph` the first run is done twice as it is and then captured, for all threads, and every
later one is a launch of that. It shows what we ask of the provider, and not what the provider does.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from mmkg_sdk.kernels.gpu import Gpu, GpuArray

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
_Session, _Options, _Value = onnxruntime.InferenceSession, onnxruntime.SessionOptions, onnxruntime.OrtValue
_TYPES = {"float32": "float", "float64": "double"}
_EVERY_THREAD = 0  # CU_STREAM_CAPTURE_MODE_GLOBAL


@dataclass
class Provider:
    """How it is to behave, and what it was asked.

    Attributes:
        driver: NVIDIA's, which is none.
        put: puts a function of Python on a stream.
        sessions: the provider's options of each that was opened, in order.
        weights: addresses of the weights that sessions were given, by name.
        plain, captured, launched: how many runs there were of each.
        refuse: words with which the next session for CUDA graphs is refused.
        frozen: launches read what lay in the inputs when they were captured.
        meanwhile: called while a run is captured.
    """

    driver: ctypes.CDLL
    put: Callable[[Callable[[], None], int], None]
    sessions: list[dict[str, Any]] = field(default_factory=list)
    weights: dict[str, set[int]] = field(default_factory=dict)
    plain: int = 0
    captured: int = 0
    launched: int = 0
    refuse: str = ""
    frozen: bool = False
    meanwhile: Callable[[], None] = lambda: None

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Put it in the place of the package's names."""
        provider = self

        class Options(_Options):  # type: ignore[misc]
            def add_initializer(self, name: str, value: Value) -> None:
                provider.weights.setdefault(name, set()).add(value.data_ptr())
                super().add_initializer(name, value.real)

        monkeypatch.setattr(onnxruntime, "SessionOptions", Options)
        monkeypatch.setattr(onnxruntime, "OrtValue", Value)
        monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *given, **named: Session(self, *given, **named))

    def call(self, function: str, *arguments: Any) -> None:
        """A call of the driver, as the provider makes it."""
        if result := getattr(self.driver, function)(*arguments):
            raise RuntimeError(f"CUDA failure {result}: {function}")


class Value:
    """See onnxruntime.OrtValue; all lie on the GPU."""

    def __init__(self, array: GpuArray) -> None:
        self.array = array
        self.real = _Value.ortvalue_from_numpy(self.memory())

    @classmethod
    def from_dlpack(cls, array: GpuArray) -> Value:
        return cls(array)

    @classmethod
    def ortvalue_from_numpy(cls, array: NDArray[Any], device: str, index: int) -> Value:
        assert (device, index) == ("cuda", 0)
        return cls(Gpu.open().array(array))

    def shape(self) -> list[int]:
        return list(self.array.shape)

    def data_type(self) -> str:
        return f"tensor({_TYPES.get(str(self.array.dtype), str(self.array.dtype))})"

    def data_ptr(self) -> int:
        return self.array.pointer

    def numpy(self) -> NDArray[Any]:
        return self.memory().copy()

    def memory(self) -> NDArray[Any]:
        return memory(self.array.pointer, self.array.shape, self.array.dtype)


class Binding:
    """See onnxruntime.IOBinding."""

    def __init__(self) -> None:
        self.inputs: dict[str, NDArray[Any]] = {}
        self.outputs: dict[str, NDArray[Any] | None] = {}
        self.found: list[Value] = []
        self.kept: list[Value] = []

    def bind_ortvalue_input(self, name: str, value: Value) -> None:
        self.kept.append(value)
        self.inputs[name] = value.memory()

    def bind_input(self, name: str, device: str, index: int, dtype: Any, shape: list[int], pointer: int) -> None:
        assert (device, index) == ("cuda", 0)
        self.inputs[name] = memory(pointer, tuple(shape), dtype)

    def bind_output(
        self, name: str, device: str, index: int, dtype: Any = None, shape: Any = None, pointer: int | None = None
    ) -> None:
        assert (device, index) == ("cuda", 0)
        self.outputs[name] = None if pointer is None else memory(pointer, tuple(shape), dtype)

    def get_outputs(self) -> list[Value]:
        return self.found


class Session:
    """See onnxruntime.InferenceSession."""

    def __init__(
        self, provider: Provider, model: bytes, options: Any, providers: list[tuple[str, Any]], enable_fallback: int
    ) -> None:
        ((name, settings),) = providers
        assert (name, enable_fallback) == (CUDA, 0)
        self.provider, self.settings = provider, dict(settings)
        provider.sessions.append(self.settings)
        if self.settings.get("enable_cuda_graph") and provider.refuse:
            words, provider.refuse = provider.refuse, ""
            raise RuntimeError(words)
        self.session = _Session(model, options, providers=[CPU])
        self.thread, self.graph = threading.get_ident(), ctypes.c_void_p()

    def get_providers(self) -> list[str]:
        return [CUDA, CPU]

    def get_provider_graph_assignment_info(self) -> list[Any]:
        """Arithmetic on shapes is left to the CPU, all else is not."""
        nodes = [node for part in self.session.get_provider_graph_assignment_info() for node in part.get_nodes()]
        shapes = [node for node in nodes if node.op_type == "Shape"]
        work = [node for node in nodes if node.op_type != "Shape"]
        return [
            SimpleNamespace(ep_name=name, get_nodes=lambda found=found: found)
            for name, found in ((CUDA, work), (CPU, shapes))
            if found
        ]

    def get_outputs(self) -> Any:
        return self.session.get_outputs()

    def io_binding(self) -> Binding:
        return Binding()

    def run(self, names: list[str], inputs: dict[str, Any]) -> Any:
        self.provider.plain += 1
        return self.session.run(names, inputs)

    def run_with_iobinding(self, binding: Binding, options: Any = None) -> None:
        provider = self.provider
        if not self.settings.get("enable_cuda_graph"):
            provider.plain += 1
            outputs = self.session.run(list(binding.outputs), binding.inputs)
            binding.found = [Value(Gpu.open().array(output)) for output in outputs]
            return
        assert self.thread == threading.get_ident()  # a graph belongs to the thread that captured it
        assert options.get_run_config_entry("disable_synchronize_execution_providers") == "1"
        stream = ctypes.c_void_p(self.settings["user_compute_stream"])
        if not self.graph:
            provider.call("cuStreamSynchronize", stream)
            for _ in range(2):
                self._compute(binding.inputs, binding)
            self._capture(binding, stream)
        provider.launched += 1
        provider.call("cuGraphLaunch", self.graph, stream)

    def _capture(self, binding: Binding, stream: ctypes.c_void_p) -> None:
        provider, kept = self.provider, ctypes.c_void_p()
        inputs = {name: array.copy() if provider.frozen else array for name, array in binding.inputs.items()}
        provider.call("cuStreamBeginCapture_v2", stream, _EVERY_THREAD)
        try:
            provider.put(lambda: self._compute(inputs, binding), stream.value or 0)
            provider.meanwhile()
        finally:
            provider.call("cuStreamEndCapture", stream, ctypes.byref(kept))
        provider.call("cuGraphInstantiateWithFlags", ctypes.byref(self.graph), kept, ctypes.c_ulonglong(0))
        provider.call("cuGraphDestroy", kept)
        provider.captured += 1

    def _compute(self, inputs: dict[str, NDArray[Any]], binding: Binding) -> None:
        found = self.session.run(list(binding.outputs), inputs)
        for place, output in zip(binding.outputs.values(), found, strict=True):
            assert place is not None
            place[...] = output


def memory(address: int, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """The memory of the GPU that is none, which the host has."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.frombuffer((ctypes.c_char * size).from_address(address), dtype).reshape(shape)
