"""TensorRT: every graph as an engine that is built for the GPU it runs on.

NEVER RUN ON A GPU. Engines are built for real, on the CPU, by TensorRT for RTX; opening and running them is tested with
stand-ins for the library's runtime and for NVIDIA's driver.

An engine is taken from the cache (cache.py), where `mmkg-sdk build-engine` puts it, or is built when a graph is first
used, which may take minutes. So "auto" never takes this backend: it is for who names it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from ...bundle import Bundle
from ...errors import BackendError, MmkgError, QueryError
from ..base import AnyArray, Backend, DeviceArray, parse_device
from ..captured_runs import Placed
from ..streams import ThreadStreams
from .bindings import Bindings, installed, load_bindings
from .cache import EngineCache
from .cuts import cut, empty_outputs, part_of
from .engine import OpenEngine
from .machine import Machine
from .prepare import fitting_engine
from .record import Unusable

if TYPE_CHECKING:
    from ...kernels.gpu import Gpu, GpuArray, Stream


class TensorRtBackend(Backend):
    """The graphs of one bundle as engines on one GPU; TensorRT where it is installed, else TensorRT for RTX."""

    name = "tensorrt"

    def __init__(self, bundle: Bundle, device: str, threads: int | None, bindings: Bindings, gpu: Gpu) -> None:
        super().__init__(bundle, device, threads)
        self._bindings = bindings
        self._gpu = gpu
        self._streams = ThreadStreams()

    @classmethod
    def device_for(cls, device: str) -> str | None:
        """See Backend.device_for; there is no engine for the CPU, and without a GPU the library is not loaded."""
        wanted = "cuda" if device == "auto" else device
        if installed() and _absence(wanted):
            return None
        load_bindings()
        return wanted

    @classmethod
    def has_precision(cls, precision: str, device: str) -> bool:
        """See Backend.has_precision; it has all of a bundle's on a GPU."""
        return parse_device(device)[0] == "cuda"

    @classmethod
    def open(cls, bundle: Bundle, device: str, threads: int | None) -> Self:
        """See Backend.open."""
        bindings = load_bindings()
        found = "cuda" if device == "auto" else device
        if absence := _absence(found):
            raise BackendError(
                f"backend 'tensorrt' has no GPU to run on: {absence.rstrip('.')}. Pass backend='onnxruntime' and "
                "device='cpu' to run without one."
            )
        from ...kernels.gpu import Gpu

        return cls(bundle, found, threads, bindings, Gpu.open(parse_device(found)[1]))

    def stream(self) -> int:
        """See Backend.stream."""
        return self._stream().handle

    def place(self, array: NDArray[Any]) -> GpuArray:
        """See Backend.place."""
        try:
            return self._gpu.array(array, self._stream())
        except BackendError as err:
            raise self._not_placed(array, err) from err

    def join(self, arrays: Sequence[DeviceArray]) -> GpuArray:
        """See Backend.join."""
        try:
            return self._gpu.joined(arrays, self._stream())
        except BackendError as err:
            raise self._not_joined(arrays, err) from err

    def run_placed(self, graph: str, inputs: Mapping[str, AnyArray]) -> dict[str, DeviceArray]:
        """See Backend.run_placed.

        It returns before the GPU is done, unless inputs are cut: those that are larger along the batch than the
        engine's profiles take, which go by the host. Ids are not compared with the sizes of tables by an engine, as
        other backends do: whoever calls does.

        Raises:
            QueryError: the shape fits no profile and cannot be cut into some that do.
            BackendError: the library refuses, or the GPU was lost; then every later call fails at once.
        """
        engine: OpenEngine = self._graph(graph)
        try:
            sizes = engine.sizes({name: array.shape for name, array in inputs.items()})
            pieces = cut(engine.spec, engine.profiles, sizes)
            if len(pieces) == 1:
                return {**self._run(engine, inputs)}
            host = {name: _on_host(array) for name, array in inputs.items()}
            outputs = empty_outputs(engine.spec, sizes)
            for piece in pieces:
                given = {
                    tensor.name: part_of(tensor, host[tensor.name], piece) for tensor in engine.spec.exported_inputs
                }
                found = self._run(engine, given)
                for tensor in engine.spec.outputs:
                    part_of(tensor, outputs[tensor.name], piece)[...] = found[tensor.name].numpy(self._stream())
            return {name: self.place(array) for name, array in outputs.items()}
        except QueryError:
            raise
        except MmkgError as err:
            raise self._failure(graph, inputs, err) from err

    def _run(self, engine: OpenEngine, inputs: Mapping[str, AnyArray]) -> dict[str, GpuArray]:
        stream = self._stream()
        dtypes = {tensor.name: np.dtype(tensor.dtype) for tensor in engine.spec.exported_inputs}
        placed: dict[str, Placed] = {}
        for name, array in inputs.items():
            if array.dtype != dtypes[name]:
                raise QueryError(f"graph {engine.spec.name} takes {name} as {dtypes[name]}; given is {array.dtype}.")
            if isinstance(array, np.ndarray) or not self._is_here(array):
                placed[name] = self._gpu.array(_on_host(array), stream)
            else:
                placed[name] = array
        # The memory of a placed input is freed only after the work that was put on any stream (GpuArray).
        return engine.run(placed, stream)

    def _is_here(self, array: DeviceArray) -> bool:
        """Whether an array lies on this GPU, so that its address is of use to the engine."""
        from ...kernels.gpu.dlpack import CUDA

        return bool(array.__dlpack_device__() == (CUDA, self._gpu.index))

    def _stream(self) -> Stream:
        """The calling thread's."""
        streams = self._streams.streams
        if self._gpu.index not in streams:
            streams[self._gpu.index] = self._gpu.stream()
        return streams[self._gpu.index]

    def _open(self, graph: str) -> OpenEngine:
        cache = EngineCache.open()
        while True:
            prepared = fitting_engine(self._bindings, self._bundle, graph, Machine.of(self._gpu), cache)
            try:
                return OpenEngine(self._bindings, self._gpu, self._bundle, prepared.engine)
            except Unusable as err:
                if prepared.built:
                    raise BackendError(
                        f"the engine of {graph} was just built by {self._bindings.flavour} {self._bindings.version}, "
                        f"and {self._gpu.name} does not take it: {err}."
                    ) from err
                cache.discard(prepared.engine, str(err))


def _absence(device: str) -> str | None:
    """Why engines cannot run on a device; None if they can."""
    if parse_device(device)[0] == "cpu":
        return "engines run on GPUs, and device 'cpu' was asked for"
    from ...kernels.gpu import gpu_kernels_absence

    return gpu_kernels_absence(device)


def _on_host(array: AnyArray) -> NDArray[Any]:
    return array if isinstance(array, np.ndarray) else array.numpy()
