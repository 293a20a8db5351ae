"""Runs of a graph as CUDA graphs: what a thread asks for again and again is put on its stream as one.

NEVER RUN ON A GPU: the tests capture what stand-ins for TensorRT and for ONNX Runtime put on the stand-in driver's
streams.

A CUDA graph has kept the addresses of what it reads and writes, and those of a caller change with every run. So it has
memory of its own for outputs, and for inputs that are small or have a row for each of the batch, which are copied into
it and out of it on the stream. Other inputs, as the table of entities is, are read where they lie: another address is
another graph.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..bundle.graph_specs import Axis, GraphSpec
from ..kernels.gpu.library import check, gpu_library
from ..kernels.library import address, in_place

if TYPE_CHECKING:
    from ..kernels.gpu import Gpu, GpuArray, Stream

# Uses of a thread and a graph that are remembered before they are captured.
_REMEMBERED = 64
# Inputs without a row for each of the batch are copied up to so many bytes: 8,192 ids, or 256 vectors of 1,024 numbers.
COPIED_BYTES = 1 << 20


class Placed(Protocol):
    """An array on the GPU."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def pointer(self) -> int: ...


Shapes = Mapping[str, tuple[int, ...]]
# Shapes of the inputs by name, addresses of those that are read where they lie.
Use = tuple[tuple[tuple[str, tuple[int, ...]], ...], tuple[int, ...]]
# Makes, of all inputs and outputs by name, what puts one run on the stream that reads and writes them there. It may run
# before; what it makes holds whatever a run needs. Raises BackendError.
Record = Callable[[Mapping[str, Placed]], Callable[[], None]]


def use_of(spec: GraphSpec, shapes: Shapes, inputs: Mapping[str, Placed | NDArray[Any]]) -> Use | None:
    """What a CUDA graph of such a run can be used for again; None: an input that would be read in place is elsewhere.

    Args:
        shapes: of the graph's inputs; those of `inputs`, or more rows for the batch.
    """
    in_its_place = [array for name, array in sorted(inputs.items()) if not _is_copied(spec, name, shapes)]
    addresses = tuple(array.pointer for array in in_its_place if not isinstance(array, np.ndarray))
    return (tuple(sorted(shapes.items())), addresses) if len(addresses) == len(in_its_place) else None


class CapturedRuns(threading.local):
    """The runs of a graph that a thread has captured, the last used last.

    Args:
        kept: at most so many.
        after: a use is due when it came so often before.
        idle: where that many are kept, one makes room for another if it was not used in so many runs, so that uses
            which take turns do not capture again and again.
    """

    def __init__(self, kept: int, after: int, idle: int = 0) -> None:
        self._kept, self._after, self._idle = kept, after, idle
        self._runs: OrderedDict[Use, tuple[CapturedRun, int]] = OrderedDict()
        self._came: OrderedDict[Use, int] = OrderedDict()
        self._turn = 0

    def find(self, use: Use) -> CapturedRun | None:
        """The captured run of a use."""
        self._turn += 1
        if use not in self._runs:
            return None
        found, _ = self._runs.pop(use)
        self._runs[use] = found, self._turn
        return found

    def is_due(self, use: Use) -> bool:
        """Whether to capture a use that was not found; it is counted."""
        count = self._came.pop(use, 0)
        if count >= self._after and self._has_room():
            return True
        self._came[use] = count + 1
        if len(self._came) > _REMEMBERED:
            self._came.popitem(last=False)
        return False

    def keep(self, use: Use, run: CapturedRun) -> None:
        """Keep a captured run; the one that was not used for the longest time goes, if there are too many."""
        self._runs[use] = run, self._turn
        if len(self._runs) > self._kept:
            self._runs.popitem(last=False)

    def _has_room(self) -> bool:
        oldest = next((turn for _, turn in self._runs.values()), 0)
        return len(self._runs) < self._kept or self._turn - oldest > self._idle


class CapturedRun:
    """One run with fixed shapes, launched as one, in the order of the stream that it was captured on.

    What it is recorded with are zeros, but for inputs that are read where they lie.

    Args:
        shapes: of the inputs; rows of the batch behind those of a launch hold what was there before.
        inputs: those that are read where they lie, which are held as long as this is.

    Raises:
        BackendError: there is no memory, or the library or the driver refuses.
    """

    def __init__(
        self, gpu: Gpu, spec: GraphSpec, shapes: Shapes, inputs: Mapping[str, Any], record: Record, stream: Stream
    ) -> None:
        self._gpu, self._spec, self._stream = gpu, spec, stream
        self._copies = {
            tensor.name: gpu.empty(shapes[tensor.name], tensor.dtype, stream)
            for tensor in spec.exported_inputs
            if _is_copied(spec, tensor.name, shapes)
        }
        for copy in self._copies.values():
            check(gpu_library().mmkg_gpu_fill(gpu.handle, copy.pointer, 0, copy.nbytes, stream.handle))
        self._outputs = {
            name: gpu.empty(shape, dtype, stream) for name, (dtype, shape) in spec.output_shapes(shapes).items()
        }
        self._bound: dict[str, Placed] = {**inputs, **self._copies, **self._outputs}
        self._run = record(self._bound)

    def launch(self, inputs: Mapping[str, Placed | NDArray[Any]]) -> dict[str, GpuArray]:
        """Another run; outputs are the caller's own."""
        self._bring(inputs)
        self._run()
        found = {}
        shapes = {name: array.shape for name, array in inputs.items()}
        for name, (dtype, shape) in self._spec.output_shapes(shapes).items():
            found[name] = self._gpu.empty(shape, dtype, self._stream)
            self._copy(found[name].pointer, self._outputs[name].pointer, found[name].nbytes)
        return found

    def _bring(self, inputs: Mapping[str, Placed | NDArray[Any]]) -> None:
        hosts = []
        for name, copy in self._copies.items():
            array = inputs[name]
            if not isinstance(array, np.ndarray):
                self._copy(copy.pointer, array.pointer, int(np.prod(array.shape)) * copy.dtype.itemsize)
                continue
            host = in_place(array)
            hosts.append(host)
            gpu, stream = self._gpu.handle, self._stream.handle
            check(gpu_library().mmkg_gpu_copy_to_device(gpu, copy.pointer, address(host), host.nbytes, stream))
        if hosts:
            self._stream.synchronize()  # before they change, or go

    def _copy(self, to: int, start: int, num_bytes: int) -> None:
        check(gpu_library().mmkg_gpu_copy(self._gpu.handle, to, start, num_bytes, self._stream.handle))


def _is_copied(spec: GraphSpec, name: str, shapes: Shapes) -> bool:
    tensor = next(tensor for tensor in spec.exported_inputs if tensor.name == name)
    batch = next(iter(spec.batch_axes()), None)
    has_batch = any(isinstance(axis, Axis) and axis.name == batch for axis in tensor.shape)
    return has_batch or int(np.prod(shapes[name])) * np.dtype(tensor.dtype).itemsize <= COPIED_BYTES
