"""OpenEngine: an engine of the cache on a GPU, and its runs.

NEVER RUN ON A GPU: no engine has been deserialised yet. The tests run this with a stand-in for the library's runtime.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, cast

from ...bundle import Bundle
from ...bundle.graph_specs import Axis
from ...errors import BackendError, QueryError
from ..captured_runs import CapturedRun, CapturedRuns, Placed, use_of
from . import api
from .bindings import Bindings
from .cache import CachedEngine
from .machine import Machine, is_shortage
from .profiles import Profile, limits, profile_of
from .record import Unusable
from .refit import refit

if TYPE_CHECKING:
    from ...kernels.gpu import Gpu, GpuArray, Graph, Stream

# Runs that a thread keeps as CUDA graphs: each has a context, and so the memory of a profile.
KEPT = 4

_log = logging.getLogger(__name__)


class OpenEngine:
    """Safe to call from several threads: each has contexts of its own, one for each profile that it uses.

    What a thread asks for again, with the same shapes, runs as a CUDA graph from then on (../captured_runs.py). A
    context keeps the memory that its profile needs beside inputs and outputs, until its thread ends or the engine is
    closed.

    Attributes:
        graphless: why runs are no CUDA graphs; None as long as they can be.
    """

    def __init__(self, bindings: Bindings, gpu: Gpu, bundle: Bundle, cached: CachedEngine) -> None:
        """Open an engine of the bundle on a GPU.

        Raises:
            Unusable: this GPU or library does not take it.
            BackendError: there is no memory for it, or its weights, which were left out, do not go into it.
        """
        graph = cached.record.key.graph
        self.spec = bundle.graphs[graph]
        self.profiles: Sequence[Profile] = cached.record.profiles
        self._bindings = bindings
        self._gpu = gpu
        self._contexts = _Contexts()
        self._captured = CapturedRuns(KEPT, after=1)
        self.graphless: str | None = None
        with gpu.entered():
            self._engine = _deserialized(bindings, Machine.of(gpu), cached)
            self._check()
            if cached.record.key.options["strip"]:
                refit(bindings, self._engine, bundle, graph)

    def sizes(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
        """The size of each free axis.

        Raises:
            QueryError: an input is missing or not the graph's, or its shape is none that the graph takes.
        """
        expected = {tensor.name: tensor.shape for tensor in self.spec.exported_inputs}
        if shapes.keys() != expected.keys():
            raise QueryError(f"graph {self.spec.name} takes {', '.join(expected)}; given are {', '.join(shapes)}.")
        found: dict[str, int] = {}
        for name, axes in expected.items():
            sizes = shapes[name]
            named = zip(axes, sizes, strict=False)
            fits = len(axes) == len(sizes) and all(
                size == (found.setdefault(axis.name, size) if isinstance(axis, Axis) else axis) for axis, size in named
            )
            if not fits:
                shown = [axis.name if isinstance(axis, Axis) else axis for axis in axes]
                raise QueryError(f"graph {self.spec.name} takes {name} of shape {shown}; given is {list(sizes)}.")
        return found

    def profile(self, sizes: Mapping[str, int]) -> int:
        """The profile that takes these sizes.

        Raises:
            QueryError: none does.
        """
        found = profile_of(self.profiles, sizes)
        if found is None:
            given = ", ".join(f"{name} {size:,}" for name, size in sizes.items())
            raise QueryError(
                f"the engine of {self.spec.name} takes {limits(self.profiles)}; given are {given}. Build it with other "
                "sizes: mmkg-sdk build-engine --profile."
            )
        return found

    def run(self, inputs: Mapping[str, Placed], stream: Stream) -> dict[str, GpuArray]:
        """Put one run on a stream; the outputs are whole for what is put there later.

        Args:
            inputs: with the dtypes and shapes of the graph's spec. They are read when the stream comes to it.

        Raises:
            QueryError: no profile takes the shapes.
            BackendError: the library refuses, with its words.
        """
        shapes = {name: array.shape for name, array in inputs.items()}
        index = self.profile(self.sizes(shapes))
        with self._gpu.entered():
            if captured := self._as_graph(index, inputs, stream):
                return captured.launch(inputs)
            outputs = {
                name: self._gpu.empty(shape, dtype, stream)
                for name, (dtype, shape) in self.spec.output_shapes(shapes).items()
            }
            self._execute(self._context(index, stream), stream, {**inputs, **outputs})
        return outputs

    def _as_graph(self, index: int, inputs: Mapping[str, Placed], stream: Stream) -> CapturedRun | None:
        """The graph of a run that came before; None: it did not, or cannot be one, which is logged once."""
        shapes = {name: array.shape for name, array in inputs.items()}
        use = use_of(self.spec, shapes, inputs)
        assert use is not None  # all inputs are placed
        found = self._captured.find(use)
        if found is None and self.graphless is None and self._captured.is_due(use):
            try:
                record = partial(self._record, index, stream)
                found = CapturedRun(self._gpu, self.spec, shapes, inputs, record, stream)
            except BackendError as err:
                self.graphless = str(err)
                _log.warning("%s runs without CUDA graphs from now on: %s", self.spec.name, err)
                return None
            self._captured.keep(use, found)
        return found

    def _record(self, index: int, stream: Stream, bound: Mapping[str, Placed]) -> Callable[[], None]:
        # A context of its own: other shapes in it would be none of the graph's.
        context = self._new_context(index, stream)
        self._execute(context, stream, bound)  # what an engine does at its first run with new shapes is not captured
        with stream.capture() as graph:
            self._execute(context, stream, bound)
        return _Recorded(graph, stream, context)

    def _execute(self, context: api.IExecutionContext, stream: Stream, bound: Mapping[str, Placed]) -> None:
        """Put a run on the stream that reads and writes these arrays."""
        names = [tensor.name for tensor in self.spec.exported_inputs]
        done = all(context.set_input_shape(name, bound[name].shape) for name in names)
        done = done and all(context.set_tensor_address(name, array.pointer) for name, array in bound.items())
        if not done or not context.execute_async_v3(stream.handle):
            raise BackendError(self._bindings.words.take())

    def _context(self, index: int, stream: Stream) -> api.IExecutionContext:
        """This thread's context of a profile."""
        if index not in self._contexts.by_profile:
            self._contexts.by_profile[index] = self._new_context(index, stream)
        return self._contexts.by_profile[index]

    def _new_context(self, index: int, stream: Stream) -> api.IExecutionContext:
        strategy = self._bindings.trt.ExecutionContextAllocationStrategy.ON_PROFILE_CHANGE
        found = self._engine.create_execution_context(strategy)
        if found is None or not found.set_optimization_profile_async(index, stream.handle):
            free = Machine.of(self._gpu).free_memory()
            raise BackendError(f"no context for profile {index} ({free}): {self._bindings.words.take()}")
        return found

    def _check(self) -> None:
        """The engine is the one that its record speaks of."""
        engine = self._engine
        expected = {tensor.name for tensor in (*self.spec.exported_inputs, *self.spec.outputs)}
        found = {engine.get_tensor_name(index) for index in range(engine.num_io_tensors)}
        if found != expected or engine.num_optimization_profiles != len(self.profiles):
            raise Unusable(
                f"it takes and gives {sorted(found)} in {engine.num_optimization_profiles} profiles, expected "
                f"{sorted(expected)} in {len(self.profiles)}"
            )


@dataclass(frozen=True)
class _Recorded:
    """A run as a CUDA graph, which works in the memory of its context."""

    graph: Graph
    stream: Stream
    context: api.IExecutionContext

    def __call__(self) -> None:
        self.graph.launch(self.stream)


class _Contexts(threading.local):
    """The contexts of one thread by profile."""

    def __init__(self) -> None:
        self.by_profile: dict[int, api.IExecutionContext] = {}


def _deserialized(bindings: Bindings, machine: Machine, cached: CachedEngine) -> api.ICudaEngine:
    bindings.words.take()
    runtime = bindings.trt.Runtime(bindings.logger)
    if reason := _invalidity(bindings, runtime, cached.plan):
        raise Unusable(f"TensorRT for RTX says that it does not run here: {reason}")
    if cached.record.key.options["version_compatible"]:
        # It holds code of the TensorRT that built it. Whoever asked for that, here and as this user, has allowed it:
        # the folder is private, and the hash was compared.
        runtime.engine_host_code_allowed = True
    engine = runtime.deserialize_cuda_engine(cached.plan)
    if engine is not None:
        return engine
    words = bindings.words.take()
    if is_shortage(words):  # the engine is right, and building it again would change nothing
        raise BackendError(
            f"there is no memory to open the engine of {cached.record.key.graph}, {cached.record.size:,} bytes "
            f"({machine.free_memory()}): {words}"
        )
    raise Unusable(f"it could not be opened: {words}")


def _invalidity(bindings: Bindings, runtime: api.Runtime, plan: bytes) -> str | None:
    """Why this machine does not run an engine, where the library tells it before the engine is opened."""
    if bindings.rtx is None:
        return None
    validity, diagnostics = cast(api.RtxRuntime, runtime).get_engine_validity(plan)
    if validity != bindings.rtx.EngineValidity.INVALID:
        return None
    members = bindings.rtx.EngineInvalidityDiagnostics.__members__
    named = [name for name, bit in members.items() if diagnostics & int(bit)]
    return ", ".join(named) or bindings.words.take()
