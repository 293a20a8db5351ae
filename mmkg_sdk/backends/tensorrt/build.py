"""A graph of a bundle as a serialized engine.

Engines are strongly typed: each product is done in the dtype that the graph says, and TF32 is off, so that float32 is
float32. TensorRT for RTX builds without a GPU, and the tests build every graph with it. TensorRT 10 and 11 need the
GPU: this code has never run with them, and only its use of their API is checked (api.py).
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import cast

from ...bundle import Bundle
from ...bundle.graph_specs import GraphSpec
from ...errors import BackendError
from . import api
from .bindings import Bindings
from .machine import Machine, is_shortage
from .options import BuildOptions, Hardware
from .profiles import Profile, profile_shapes, profiles_for
from .weights import give_weights, parser_errors

_MIB = 1 << 20
# One at a time: builds use all cores as it is, and the library's words belong to the one that runs.
_building = threading.Lock()


@dataclass(frozen=True)
class BuiltEngine:
    """A serialized engine and what is known of it.

    Attributes:
        plan: the engine.
        profiles: its optimization profiles, in the engine's order.
        timing_cache: how long kernels took, for the next build; None from TensorRT for RTX, which times none.
        seconds: that the build took.
    """

    plan: bytes
    profiles: tuple[Profile, ...]
    timing_cache: bytes | None
    seconds: float


def build_engine(
    bindings: Bindings,
    bundle: Bundle,
    graph: str,
    options: BuildOptions,
    machine: Machine,
    *,
    timing_cache: bytes | None = None,
) -> BuiltEngine:
    """Build a graph as an engine. It may take minutes; Ctrl-C ends it behind the step that it is at.

    Args:
        timing_cache: what an earlier build left.

    Raises:
        BackendError: the library has not this option, does not know the graph, or has no memory; with its own words.
    """
    options.check(bindings.flavour)
    spec = bundle.graphs[graph]
    profiles = profiles_for(spec, options.buckets)
    stop = threading.Event()

    def build() -> BuiltEngine:
        started = time.monotonic()
        with machine.entered():
            builder = _builder(bindings)
            network = builder.create_network(1 << int(bindings.trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
            kept = _parse(bindings, bundle, spec, network)
            config = builder.create_builder_config()
            config.progress_monitor = _monitor(bindings, stop)
            _configure(bindings, config, options)
            _add_profiles(bindings, builder, config, spec, profiles)
            if bindings.rtx is None:
                config.set_timing_cache(config.create_timing_cache(timing_cache or b""), ignore_mismatch=False)
            plan = builder.build_serialized_network(network, config)
            del kept
            if plan is None:
                raise _not_built(graph, bindings, options, machine)
            times = None if bindings.rtx else bytes(config.get_timing_cache().serialize())
            return BuiltEngine(bytes(plan), profiles, times, round(time.monotonic() - started, 2))

    with _building:
        bindings.words.take()
        # In a thread of its own, because Python handles signals in the main thread only, and would raise
        # KeyboardInterrupt from there through the library, whenever that calls our logger or monitor.
        with ThreadPoolExecutor(1) as thread:
            try:
                return thread.submit(build).result()
            except BaseException:
                stop.set()
                raise


def _builder(bindings: Bindings) -> api.Builder:
    try:
        return bindings.trt.Builder(bindings.logger)
    except (TypeError, RuntimeError) as err:  # what the bindings make of a null pointer
        advice = "TensorRT builds on the GPU that the engine is for; the flavour tensorrt-rtx builds without one."
        raise BackendError(f"TensorRT has no builder here: {bindings.words.take()}. {advice}") from err


def _parse(bindings: Bindings, bundle: Bundle, spec: GraphSpec, network: api.INetworkDefinition) -> object:
    """Fill the network; what is returned must live until the engine is built."""
    parser = bindings.trt.OnnxParser(network, bindings.logger)
    if not parser.load_model_proto(bytes(bundle.files[spec.file_name])):
        raise BackendError(f"{spec.file_name} is not read by TensorRT: {parser_errors(parser)}")
    weights = give_weights(parser, bundle, spec.name)
    if not parser.parse_model_proto():
        raise BackendError(
            f"{spec.file_name} is not understood by TensorRT {bindings.version}: {parser_errors(parser)}"
        )
    _check_tensors(spec, network)
    return parser, weights


def _check_tensors(spec: GraphSpec, network: api.INetworkDefinition) -> None:
    """The network takes and gives what the spec says, in these dtypes; what it holds to is bound to memory by it."""
    names = {"float32": "FLOAT", "float16": "HALF", "int64": "INT64", "bool": "BOOL"}
    expected = [(tensor.name, names[tensor.dtype]) for tensor in (*spec.exported_inputs, *spec.outputs)]
    tensors = [network.get_input(index) for index in range(network.num_inputs)]
    tensors += [network.get_output(index) for index in range(network.num_outputs)]
    found = [(tensor.name, tensor.dtype.name) for tensor in tensors]
    if sorted(found) != sorted(expected):
        raise BackendError(f"{spec.file_name}: TensorRT made {found} of its inputs and outputs, expected {expected}.")


def _add_profiles(
    bindings: Bindings,
    builder: api.Builder,
    config: api.IBuilderConfig,
    spec: GraphSpec,
    profiles: tuple[Profile, ...],
) -> None:
    for profile in profiles:
        shapes = builder.create_optimization_profile()
        for tensor in spec.exported_inputs:
            shapes.set_shape(tensor.name, *profile_shapes(profile, tensor))
        if config.add_optimization_profile(shapes) < 0:
            raise BackendError(f"graph {spec.name}: TensorRT does not take a profile: {bindings.words.take()}")


def _configure(bindings: Bindings, config: api.IBuilderConfig, options: BuildOptions) -> None:
    trt = bindings.trt
    config.clear_flag(trt.BuilderFlag.TF32)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # profilers name the layers of the graph
    if options.level is not None:
        config.builder_optimization_level = options.level
    if options.workspace_mib is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mib * _MIB)
    if options.version_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if options.strip:
        config.set_flag(trt.BuilderFlag.STRIP_PLAN)
        config.set_flag(trt.BuilderFlag.REFIT_IDENTICAL)  # with these very weights, so that it may optimise for them
    if options.hardware is not None:
        wanted = _hardware(trt.HardwareCompatibilityLevel, options.hardware)
        config.hardware_compatibility_level = wanted
        if (kept := config.hardware_compatibility_level) != wanted:  # TensorRT for RTX 1.7 says nothing, and builds
            raise BackendError(
                f"{bindings.flavour} {bindings.version} leaves the hardware compatibility at {kept.name}, "
                f"{wanted.name} was asked for. Name the kinds of GPUs that it is to build for "
                "(--compute-capability), or take the flavour tensorrt."
            )
    if bindings.rtx is not None and options.compute_capabilities:
        _set_compute_capabilities(
            bindings.rtx.ComputeCapability, cast(api.RtxBuilderConfig, config), options.compute_capabilities
        )


def _hardware(levels: type[api.HardwareCompatibilityLevel], hardware: Hardware) -> api.HardwareCompatibilityLevel:
    return levels.AMPERE_PLUS if hardware == "ampere-plus" else levels.SAME_COMPUTE_CAPABILITY


def _set_compute_capabilities(
    known: type[api.ComputeCapability], config: api.RtxBuilderConfig, wanted: tuple[str, ...]
) -> None:
    members = {_dotted(name): member for name, member in known.__members__.items() if name.startswith("SM")}
    if unknown := [text for text in wanted if text not in members]:
        raise BackendError(
            f"TensorRT for RTX does not build for compute capability {unknown[0]!r:.20}; it knows {', '.join(members)}."
        )
    config.num_compute_capabilities = len(wanted)
    for index, text in enumerate(wanted):
        if not config.set_compute_capability(members[text], index):
            raise BackendError(f"TensorRT for RTX does not build for compute capability {text} beside {wanted}.")


def _dotted(name: str) -> str:
    """SM89 as 8.9."""
    return f"{name[2:-1]}.{name[-1]}"


def _monitor(bindings: Bindings, stop: threading.Event) -> api.IProgressMonitor:
    """Ends the build behind the step in which `stop` is set."""

    def phase_start(self: object, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
        pass

    def phase_finish(self: object, phase_name: str) -> None:
        pass

    def step_complete(self: object, phase_name: str, step: int) -> bool:
        return not stop.is_set()

    methods = {"phase_start": phase_start, "phase_finish": phase_finish, "step_complete": step_complete}
    # The class is there only once the library is.
    kind = type("_Monitor", (bindings.trt.IProgressMonitor,), methods)
    return cast(api.IProgressMonitor, kind())


def _not_built(graph: str, bindings: Bindings, options: BuildOptions, machine: Machine) -> BackendError:
    words = bindings.words.take()
    if is_shortage(words):
        asked = "without a limit" if options.workspace_mib is None else f"of {options.workspace_mib:,} MiB"
        return BackendError(
            f"graph {graph} was not built for lack of memory (a workspace {asked}; {machine.free_memory()}): {words}. "
            "Give it more, or smaller profiles."
        )
    return BackendError(f"graph {graph} was not built: {words}{_advice(bindings, options)}")


def _advice(bindings: Bindings, options: BuildOptions) -> str:
    """What to do about an option that TensorRT for RTX 1.7 has not got everywhere; seen by building without a GPU."""
    found = []
    if bindings.rtx is not None and options.version_compatible:
        found.append(
            "A version-compatible engine holds the lean runtime (libnvinfer_lean), which TensorRT for RTX does not "
            "bring: leave out --version-compatible, or take the flavour tensorrt."
        )
    if bindings.rtx is not None and options.strip:
        found.append(
            "TensorRT for RTX asks for a GPU when it leaves out weights: build where there is one, leave out --strip, "
            "or take the flavour tensorrt."
        )
    return "".join(f" {one}" for one in found)
