"""What opens and runs engines here: no library and no GPU, but ONNX Runtime on the memory whose addresses it is given.

Engines are built by TensorRT for RTX for real. A stand-in for its runtime takes the place from there on: it knows an
engine by its hash, holds its caller to the order of calls and to the ranges of the profiles, as the library does, and
runs the graph that the engine was built of. That shows what we ask of the library, and not what the library does.
"""

from __future__ import annotations

import ctypes
import gc
import hashlib
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from mmkg_sdk.backends.tensorrt.bindings import Bindings
from mmkg_sdk.backends.tensorrt.cache import EngineCache
from mmkg_sdk.backends.tensorrt.record import EngineRecord
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.bundle.graph_specs import GraphSpec
from tests.kernels.gpu.fake_driver.driver import LAUNCH_FAILED, Launcher


class EngineValidity(IntEnum):
    """As TensorRT for RTX numbers it."""

    VALID = 0
    SUBOPTIMAL = 1
    INVALID = 2


class EngineInvalidityDiagnostics(IntEnum):
    """As TensorRT for RTX numbers some of it."""

    VERSION_MISMATCH = 1
    UNSUPPORTED_CC = 2


class StreamWork:
    """Functions of Python on streams of the stand-in's driver: launches of a kernel whose argument is a number of one.

    Args:
        driver: its library.
        kernels: what runs all other launches.
    """

    def __init__(self, driver: Path, kernels: Callable[..., int]) -> None:
        self._driver, self._kernels = ctypes.CDLL(str(driver)), kernels
        self._work: list[Callable[[], None]] = []
        self._function = ctypes.c_void_p()
        self.launcher = Launcher(self._launch)

    def put(self, work: Callable[[], None], stream: int) -> None:
        """In a context: let it be done when the stream comes to it, or whenever the graph is launched."""
        if not self._function:  # the stand-in's modules are their only function
            assert self._driver.cuModuleLoadData(ctypes.byref(self._function), b"FAKE engine 1 8") == 0
        self._work.append(work)
        number = ctypes.c_uint64(len(self._work) - 1)
        parameters = (ctypes.c_void_p * 1)(ctypes.addressof(number))
        sizes, at = (1, 1, 1, 32, 1, 1, 0), ctypes.c_void_p(stream)
        assert self._driver.cuLaunchKernel(self._function, *sizes, at, parameters, None) == 0

    def _launch(self, name: bytes, grid: Any, threads: int, shared: int, places: Any) -> int:
        if name != b"engine":
            return self._kernels(name, grid, threads, shared, places)
        # A collection within could free memory of the GPU, and the driver would do the rest of the stream before this.
        gc.disable()
        try:
            self._work[ctypes.cast(places[0], ctypes.POINTER(ctypes.c_uint64))[0]]()
        except Exception:
            traceback.print_exc()
            return LAUNCH_FAILED
        finally:
            gc.enable()
        return 0


@dataclass
class Library:
    """How the stand-in is to behave, and what it was asked.

    Attributes:
        bundle: whose graphs the engines are of.
        work: what puts their runs on streams.
        in_context: whether the GPU is the calling thread's.
        invalid: what each of the next engines is found to lack, by its place among those asked for.
        opened: graphs whose engines were opened, in order.
        put: (graph, profile) of each run that was put on a stream, or into a CUDA graph.
        runs: of each that was done, graphs' with every launch.
        refuse: words with which the next run is refused.
        unopened, why_unopened: how many of the next engines cannot be opened, in the library's words.
        not_taken: a weight that engines do not take.
        weights: what an engine that came without weights was given, by name.
    """

    bundle: Bundle
    work: StreamWork
    in_context: Callable[[], bool]
    add_words: Callable[[str], None]
    invalid: dict[int, int] = field(default_factory=dict)
    asked: int = 0
    opened: list[str] = field(default_factory=list)
    put: list[tuple[str, int]] = field(default_factory=list)
    runs: list[tuple[str, int]] = field(default_factory=list)
    refuse: str = ""
    unopened: int = 0
    why_unopened: str = "Error Code 6: the engine is of another platform"
    not_taken: str = ""
    weights: dict[str, bytes] = field(default_factory=dict)


def with_stand_in(bindings: Bindings, library: Library) -> Bindings:
    """The bindings, with the stand-in in place of the runtime."""
    real = bindings.trt

    class Module:
        EngineValidity = EngineValidity
        EngineInvalidityDiagnostics = EngineInvalidityDiagnostics

        @staticmethod
        def Runtime(logger: object) -> Runtime:
            assert logger is bindings.logger
            return Runtime(library)

        Refitter = staticmethod(Refitter)
        OnnxParserRefitter = staticmethod(OnnxParserRefitter)

        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

    return replace(bindings, trt=Module())  # type: ignore[arg-type]


class Runtime:
    """See api.RtxRuntime."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.engine_host_code_allowed = False

    def get_engine_validity(self, buffer: bytes) -> tuple[EngineValidity, int]:
        diagnostics = self.library.invalid.get(self.library.asked, 0)
        self.library.asked += 1
        return EngineValidity.INVALID if diagnostics else EngineValidity.VALID, diagnostics

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> Engine | None:
        assert self.library.in_context()
        if self.library.unopened:
            self.library.unopened -= 1
            self.library.add_words(self.library.why_unopened)
            return None
        digest = hashlib.sha256(serialized_engine).hexdigest()
        records = [EngineRecord.of_bytes(path.read_bytes()) for path in EngineCache.open().folder.rglob("*.json")]
        record, *_ = (record for record in records if record.sha256 == digest)
        self.library.opened.append(record.key.graph)
        return Engine(self.library, record)


class Engine:
    """See api.ICudaEngine."""

    def __init__(self, library: Library, record: EngineRecord) -> None:
        self.library = library
        self.record = record
        self.spec = library.bundle.graphs[record.key.graph]
        self.session = _session(library.bundle, self.spec)
        self.num_optimization_profiles = len(record.profiles)
        self.names = [tensor.name for tensor in (*self.spec.exported_inputs, *self.spec.outputs)]
        self.num_io_tensors = len(self.names)

    def get_tensor_name(self, index: int) -> str:
        return self.names[index]

    def create_execution_context(self, strategy: object) -> Context:
        assert str(strategy).endswith("ON_PROFILE_CHANGE")
        assert self.library.in_context()
        return Context(self)


class Context:
    """See api.IExecutionContext."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.thread = threading.get_ident()
        self.profile = -1
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}

    def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
        assert stream_handle
        self.profile = profile_index
        return 0 <= profile_index < self.engine.num_optimization_profiles

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        tensor = next(tensor for tensor in self.engine.spec.exported_inputs if tensor.name == name)
        profile = self.engine.record.profiles[self.profile]
        assert len(shape) == len(tensor.shape)
        assert all(
            size == axis if isinstance(axis, int) else size in profile[axis.name]
            for size, axis in zip(shape, tensor.shape, strict=True)
        )
        self.shapes[name] = shape
        return True

    def set_tensor_address(self, name: str, memory: int) -> bool:
        assert name in self.engine.names
        self.addresses[name] = memory
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        library, spec = self.engine.library, self.engine.spec
        assert stream_handle
        assert library.in_context()
        assert self.thread == threading.get_ident()  # one context runs one thing at a time
        assert self.shapes.keys() == {tensor.name for tensor in spec.exported_inputs}
        assert self.addresses.keys() == set(self.engine.names)
        if library.refuse:
            library.add_words(library.refuse)
            library.refuse = ""
            return False
        library.put.append((spec.name, self.profile))
        shapes, addresses, profile = dict(self.shapes), dict(self.addresses), self.profile

        def run() -> None:
            inputs = {
                tensor.name: _memory(addresses[tensor.name], shapes[tensor.name], tensor.dtype)
                for tensor in spec.exported_inputs
            }
            names = [tensor.name for tensor in spec.outputs]
            for name, value in zip(names, self.engine.session.run(names, inputs), strict=True):
                _memory(addresses[name], value.shape, str(value.dtype))[...] = value
            library.runs.append((spec.name, profile))

        library.work.put(run, stream_handle)
        return True


class Refitter:
    """See api.Refitter; what is missing is what the ONNX package finds to lie outside of the graph."""

    def __init__(self, engine: Engine, logger: object) -> None:
        self.engine = engine

    def get_missing_weights(self) -> list[str]:
        return sorted(outside(self.engine) - self.engine.library.weights.keys())

    def refit_cuda_engine(self) -> bool:
        assert self.engine.library.in_context()
        return True


class OnnxParserRefitter:
    """See api.OnnxParserRefitter."""

    def __init__(self, refitter: Refitter, logger: object) -> None:
        self.engine = refitter.engine
        self.model = b""
        self.num_errors = 0

    def load_model_proto(self, model: bytes) -> bool:
        self.model = model
        return True

    def load_initializer(self, name: str, data: int, size: int) -> bool:
        assert self.model == bytes(self.engine.library.bundle.files[self.engine.spec.file_name])
        if name == self.engine.library.not_taken:
            return False
        self.engine.library.weights[name] = ctypes.string_at(data, size)
        return True

    def refit_model_proto(self) -> bool:
        return True


def outside(engine: Engine) -> set[str]:
    """The weights of an engine's graph that lie outside of it."""
    model = onnx.load_from_string(bytes(engine.library.bundle.files[engine.spec.file_name]))
    return {one.name for one in model.graph.initializer if one.data_location == onnx.TensorProto.EXTERNAL}


def _memory(address: int, shape: tuple[int, ...], dtype: str) -> np.ndarray[Any, Any]:
    """The memory of the GPU that is none, which the host has."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.frombuffer((ctypes.c_char * size).from_address(address), dtype).reshape(shape)


def _session(bundle: Bundle, spec: GraphSpec) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    weights = {name: bundle.files[name] for name in bundle.weight_files(spec.name)}
    options.add_external_initializers_from_files_in_memory(
        list(weights), list(weights.values()), list(map(len, weights.values()))
    )
    return onnxruntime.InferenceSession(
        bytes(bundle.files[spec.file_name]), options, providers=["CPUExecutionProvider"]
    )
