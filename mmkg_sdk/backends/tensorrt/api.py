"""The part of TensorRT's Python API that this package uses, as protocols under the library's own names.

mypy holds our code to them, and tests/backends/tensorrt/test_api.py holds them to the bindings of TensorRT 10, TensorRT
11 and TensorRT for RTX: each name, and each parameter that we pass, is there. So a name that one of them lacks is found
without a GPU, and without the library.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol, SupportsInt

Buffer = bytes | memoryview


class IHostMemory(Protocol):
    """Bytes that the library owns; `bytes()` copies them."""

    @property
    def nbytes(self) -> int: ...

    def __buffer__(self, flags: int, /) -> memoryview: ...


class ITensor(Protocol):
    """An input or output of a network."""

    @property
    def name(self) -> str: ...

    @property
    def dtype(self) -> DataType: ...


class INetworkDefinition(Protocol):
    """What the parser makes of a graph."""

    @property
    def num_inputs(self) -> int: ...

    @property
    def num_outputs(self) -> int: ...

    def get_input(self, index: int) -> ITensor: ...

    def get_output(self, index: int) -> ITensor: ...


class ParserError(Protocol):
    """One reason why a graph could not be parsed."""

    def desc(self) -> str: ...

    def node_name(self) -> str: ...

    def node_operator(self) -> str: ...


class OnnxParser(Protocol):
    """ONNX bytes to network."""

    @property
    def num_errors(self) -> int: ...

    def load_model_proto(self, model: Buffer) -> bool: ...

    def load_initializer(self, name: str, data: int, size: int) -> bool: ...

    def parse_model_proto(self) -> bool: ...

    def get_error(self, index: int) -> ParserError: ...


class IOptimizationProfile(Protocol):
    """The least, the tuned and the largest shape of each input."""

    def set_shape(self, input: str, min: Sequence[int], opt: Sequence[int], max: Sequence[int]) -> None: ...


class ITimingCache(Protocol):
    """How long kernels took in builds before."""

    def serialize(self) -> IHostMemory: ...


class IProgressMonitor(Protocol):
    """Is told how far a build is by `phase_start`, `step_complete` and `phase_finish`; the second may end it."""


class IBuilderConfig(Protocol):
    """How an engine is to be built."""

    builder_optimization_level: int
    hardware_compatibility_level: HardwareCompatibilityLevel
    profiling_verbosity: ProfilingVerbosity
    progress_monitor: IProgressMonitor

    def set_flag(self, flag: BuilderFlag) -> None: ...

    def clear_flag(self, flag: BuilderFlag) -> None: ...

    def set_memory_pool_limit(self, pool: MemoryPoolType, pool_size: int) -> None: ...

    def add_optimization_profile(self, profile: IOptimizationProfile) -> int: ...

    def create_timing_cache(self, serialized_timing_cache: Buffer) -> ITimingCache: ...

    def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool: ...

    def get_timing_cache(self) -> ITimingCache: ...


class Builder(Protocol):
    """Network and config to serialized engine."""

    def create_network(self, flags: int) -> INetworkDefinition: ...

    def create_builder_config(self) -> IBuilderConfig: ...

    def create_optimization_profile(self) -> IOptimizationProfile: ...

    def build_serialized_network(self, network: INetworkDefinition, config: IBuilderConfig) -> IHostMemory | None: ...


class IExecutionContext(Protocol):
    """One run of an engine at a time, with a profile and shapes."""

    def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool: ...

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool: ...

    def set_tensor_address(self, name: str, memory: int) -> bool: ...

    def execute_async_v3(self, stream_handle: int) -> bool: ...


class ICudaEngine(Protocol):
    """An opened engine."""

    @property
    def num_io_tensors(self) -> int: ...

    @property
    def num_optimization_profiles(self) -> int: ...

    def get_tensor_name(self, index: int) -> str: ...

    def create_execution_context(self, strategy: ExecutionContextAllocationStrategy) -> IExecutionContext | None: ...


class Runtime(Protocol):
    """Serialized engine to engine."""

    engine_host_code_allowed: bool

    def deserialize_cuda_engine(self, serialized_engine: Buffer) -> ICudaEngine | None: ...


class Refitter(Protocol):
    """Puts weights into an engine."""

    def get_missing_weights(self) -> list[str]: ...

    def refit_cuda_engine(self) -> bool: ...


class OnnxParserRefitter(Protocol):
    """ONNX bytes to the weights of an engine."""

    @property
    def num_errors(self) -> int: ...

    def load_model_proto(self, model: Buffer) -> bool: ...

    def load_initializer(self, name: str, data: int, size: int) -> bool: ...

    def refit_model_proto(self) -> bool: ...

    def get_error(self, index: int) -> ParserError: ...


class DataType(Protocol):
    """A dtype; its name is one of the members'."""

    @property
    def name(self) -> str: ...


class Severity(Protocol):
    """Of what the library says."""


class ILogger(Protocol):
    """Is told what the library says, by a method `log(severity, msg)`."""

    ERROR: ClassVar[Severity]
    INTERNAL_ERROR: ClassVar[Severity]


class NetworkDefinitionCreationFlag(Protocol):
    """TensorRT 11 knows networks of this kind only, and takes the flag as well."""

    STRONGLY_TYPED: ClassVar[SupportsInt]


class BuilderFlag(Protocol):
    """TF32 is on unless it is cleared."""

    TF32: ClassVar[BuilderFlag]
    VERSION_COMPATIBLE: ClassVar[BuilderFlag]
    STRIP_PLAN: ClassVar[BuilderFlag]
    REFIT_IDENTICAL: ClassVar[BuilderFlag]


class HardwareCompatibilityLevel(Protocol):
    """Which other GPUs may run an engine."""

    @property
    def name(self) -> str: ...

    AMPERE_PLUS: ClassVar[HardwareCompatibilityLevel]
    SAME_COMPUTE_CAPABILITY: ClassVar[HardwareCompatibilityLevel]


class MemoryPoolType(Protocol):
    """Memory of a build."""

    WORKSPACE: ClassVar[MemoryPoolType]


class ProfilingVerbosity(Protocol):
    """What an engine tells profilers of its layers."""

    DETAILED: ClassVar[ProfilingVerbosity]


class ExecutionContextAllocationStrategy(Protocol):
    """How much memory a context takes: what its profile needs, or what the largest does."""

    ON_PROFILE_CHANGE: ClassVar[ExecutionContextAllocationStrategy]


class ComputeCapability(Protocol):
    """TensorRT for RTX: a kind of GPU that an engine is built for, SM89 for 8.9."""

    __members__: ClassVar[Mapping[str, ComputeCapability]]


class RtxBuilderConfig(IBuilderConfig, Protocol):
    """TensorRT for RTX, which builds without a GPU, is told for which GPUs."""

    num_compute_capabilities: int

    def set_compute_capability(self, compute_capability: ComputeCapability, index: int) -> bool: ...


class EngineValidity(Protocol):
    """TensorRT for RTX: whether this machine runs an engine."""

    INVALID: ClassVar[EngineValidity]


class EngineInvalidityDiagnostics(Protocol):
    """TensorRT for RTX: why not; each is one bit."""

    __members__: ClassVar[Mapping[str, SupportsInt]]


class RtxRuntime(Runtime, Protocol):
    """TensorRT for RTX says whether an engine fits, before it is opened."""

    def get_engine_validity(self, buffer: Buffer) -> tuple[EngineValidity, int]: ...
