"""ONNX Runtime: the exported graphs on the CPU or with the CUDA execution provider (onnxruntime_cuda.py)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from ..bundle import Bundle
from ..errors import BackendError, missing_package
from ..kernels.gpu import GpuArray, gpu_kernels_absence
from ..kernels.gpu.library import NoGpuMemory
from .base import AnyArray, Backend, DeviceArray, parse_device
from .gpus import NVIDIA, has_no_gpu
from .onnxruntime_cuda import (
    CUDA_PROVIDER,
    element_dtype,
    node_providers,
    refuse_any_node_on_cpu,
    refuse_work_on_cpu,
)
from .onnxruntime_graphs import ONE_AT_A_TIME, GraphRuns
from .onnxruntime_sessions import open_session, placed_weights
from .streams import own_stream, thread_stream

if TYPE_CHECKING:
    from ..kernels.gpu import Stream


class OnnxRuntimeBackend(Backend):
    """One session a graph, shared by all threads; on a GPU others for runs that come again (onnxruntime_graphs.py).

    Attributes:
        cuda_graphs: False: on a GPU every run is a plain one. It may be changed at any time.
    """

    name = "onnxruntime"

    def __init__(self, bundle: Bundle, device: str, threads: int | None) -> None:
        super().__init__(bundle, device, threads)
        self.cuda_graphs = True

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
        """See Backend.stream; what a plain run gave is whole when it returns, so for that it waits for none."""
        return own_stream(self.device)

    def run(self, graph: str, inputs: Mapping[str, AnyArray]) -> dict[str, NDArray[Any]]:
        """See Backend.run."""
        given = {name: value for name, value in inputs.items() if isinstance(value, np.ndarray)}
        opened: _OpenGraph = self._graph(graph)
        if len(given) < len(inputs) or (opened.runs is not None and self.cuda_graphs):
            return super().run(graph, inputs)
        # Nothing is placed, so no binding is needed.
        session = opened.session
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

    def join(self, arrays: Sequence[DeviceArray]) -> DeviceArray:
        """See Backend.join; by the host where there are no CUDA kernels, whose library puts arrays together."""
        stream = thread_stream(self.device)
        if stream is None:
            return super().join(arrays)
        try:
            made = stream.gpu.joined(arrays, stream)
            stream.synchronize()  # ONNX Runtime gives memory that is freed out again without a look at this stream
        except BackendError as err:
            raise self._not_joined(arrays, err) from err
        return made

    def run_placed(self, graph: str, inputs: Mapping[str, AnyArray]) -> dict[str, DeviceArray]:
        """See Backend.run_placed."""
        opened: _OpenGraph = self._graph(graph)
        if self.cuda_graphs and (ready := self._as_graph(opened, inputs)):
            runs, stream = ready
            try:
                found = runs.run(inputs, stream, partial(self._plain, opened, graph, inputs))
            except BackendError as err:
                raise self._failure(graph, inputs, err) from err
            if found is not None:
                return {**found}
        return self._plain(opened, graph, inputs)

    def capture(self, graph: str, inputs: Mapping[str, AnyArray]) -> dict[str, DeviceArray]:
        """Like `run_placed`, as a CUDA graph now and not when such runs have come a few times.

        From then on runs of this thread with inputs of these shapes (and large inputs at the same place) are the graph.

        Raises:
            BackendError: they cannot be, and why.
        """
        opened: _OpenGraph = self._graph(graph)
        ready = self._as_graph(opened, inputs)
        if ready is None or not self.cuda_graphs:
            otherwise = "an input is on another device" if self.cuda_graphs else "cuda_graphs is False"
            why = opened.no_runs or otherwise
            raise BackendError(f"runs of {graph} on {self.device} are no CUDA graphs: {why}.")
        runs, stream = ready
        return {**runs.capture(inputs, stream, partial(self._plain, opened, graph, inputs))}

    def graphless(self) -> dict[str, str]:
        """Why runs are no CUDA graphs, for those graphs of the bundle that were opened by now and cannot be."""
        with self._lock:
            opened: dict[str, _OpenGraph] = dict(self._opened or {})
        found = {name: one.no_runs or (one.runs.graphless if one.runs else None) for name, one in opened.items()}
        return {name: why for name, why in found.items() if why is not None}

    def _as_graph(self, opened: _OpenGraph, inputs: Mapping[str, AnyArray]) -> tuple[GraphRuns, Stream] | None:
        """What runs a graph as CUDA graphs, and the calling thread's stream; None if not here, or not these inputs."""
        stream = None if opened.runs is None else thread_stream(self.device)
        if opened.runs is None or stream is None:
            return None
        mine = all(isinstance(one, np.ndarray | _Placed | GpuArray) for one in inputs.values())
        return (opened.runs, stream) if mine else None

    def _plain(self, opened: _OpenGraph, graph: str, inputs: Mapping[str, AnyArray]) -> dict[str, DeviceArray]:
        session = opened.session
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
            return {graph: node_providers(opened.session) for graph, opened in (self._opened or {}).items()}

    def _wants_memory(self, err: Exception) -> bool:
        """See Backend; what the arena of the CUDA provider says, or the driver."""
        return isinstance(err, NoGpuMemory) or "Failed to allocate memory" in str(err)

    def _value(self, array: AnyArray) -> Any:
        """An onnxruntime.OrtValue on the device."""
        import onnxruntime

        if isinstance(array, _Placed):
            return array.value
        if isinstance(array, GpuArray) and (stream := thread_stream(self.device)) and _takes_arrays():
            stream.synchronize()  # a plain run has a stream of its own
            return onnxruntime.OrtValue.from_dlpack(array)
        host = array if isinstance(array, np.ndarray) else array.numpy()
        return onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(host), *self._place())

    def _place(self) -> tuple[str, int]:
        return parse_device(self.device)

    def _open(self, graph: str) -> _OpenGraph:
        bundle, device, threads = self._bundle, self.device, self.threads
        if not self.has_precision(bundle.precision, device):
            raise BackendError(
                "ONNX Runtime has no bf16 matrix product on the CPU. Pass backend='torch', "
                "or export with --precision fp32."
            )
        if parse_device(device)[0] == "cpu":
            return _OpenGraph(open_session(bundle, graph, device, threads), "the CPU has none")
        weights: dict[str, Any] = {}
        no_runs, stream = _graph_absence(device), thread_stream(device)
        with ONE_AT_A_TIME:
            try:
                if stream is not None and no_runs is None:
                    weights = placed_weights(bundle, graph, stream)
                session = open_session(bundle, graph, device, threads, weights=weights)
            except BackendError as err:
                if no_runs is not None:
                    raise
                no_runs, weights = f"its sessions cannot share weights: {err}", {}
                session = open_session(bundle, graph, device, threads)
        refuse_work_on_cpu(session, graph)
        if no_runs is not None:
            return _OpenGraph(session, no_runs)

        def for_graphs(sizes: Mapping[str, int], on_stream: int) -> Any:
            found = open_session(bundle, graph, device, threads, weights=weights, sizes=sizes, stream=on_stream)
            refuse_any_node_on_cpu(found, graph)
            return found

        return _OpenGraph(session, None, GraphRuns(bundle.graphs[graph], bundle.precision, for_graphs), weights)


@dataclass(frozen=True)
class _OpenGraph:
    """A session for plain runs, shared by all threads.

    Attributes:
        no_runs: why there are no CUDA graphs on this device.
        runs: as CUDA graphs.
        weights: what all sessions read.
    """

    session: Any
    no_runs: str | None
    runs: GraphRuns | None = None
    weights: Mapping[str, Any] = field(default_factory=dict)


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


def _takes_arrays() -> bool:
    """Whether this ONNX Runtime reads arrays where another library has put them."""
    import onnxruntime

    return hasattr(onnxruntime.OrtValue, "from_dlpack")


def _graph_absence(device: str) -> str | None:
    """Why there are no CUDA graphs on a GPU; None: there are."""
    if absence := gpu_kernels_absence(device):
        return f"their streams and memory are those of the CUDA kernels, and {absence}"
    if not _takes_arrays():
        return "this ONNX Runtime reads no arrays of other libraries. Install a newer one"
    return None
