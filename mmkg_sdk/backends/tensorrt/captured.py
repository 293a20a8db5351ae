"""Runs of an engine as CUDA graphs: one for each profile, shapes and addresses that come again.

NEVER RUN ON A GPU: the tests capture what a stand-in for the library's runtime puts on the stand-in driver's streams.

A graph has kept the addresses of what it reads and writes, and those of a caller change with every run. So it has
memory of its own for outputs and small inputs, which are copied into it and out of it on the stream. Large inputs, as
the table of entities is, are read where they lie: other addresses are another graph.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ...bundle.graph_specs import GraphSpec
from ...kernels.gpu.library import check, gpu_library

if TYPE_CHECKING:
    from ...kernels.gpu import Gpu, GpuArray, Stream
    from . import api

# Of a thread and an engine: graphs with their contexts, which hold the memory of a profile, and uses that came once.
KEPT, REMEMBERED = 4, 64
# Inputs up to so many bytes are copied: 8,192 ids, or 256 vectors of 1,024 numbers.
COPIED_BYTES = 1 << 20

# Profile, shapes of the inputs by name, addresses of the large ones.
Use = tuple[int, tuple[tuple[str, tuple[int, ...]], ...], tuple[int, ...]]


class Placed(Protocol):
    """An array on the engine's GPU."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def pointer(self) -> int: ...


# Puts one run on a stream, with the addresses of all inputs and outputs. Raises BackendError.
Execute = Callable[[Mapping[str, Placed]], None]


def use_of(profile: int, spec: GraphSpec, inputs: Mapping[str, Placed]) -> Use:
    """What a graph of a run can be used for again."""
    shapes = tuple(sorted((name, array.shape) for name, array in inputs.items()))
    large = tuple(array.pointer for name, array in sorted(inputs.items()) if not _is_copied(spec, name, array))
    return profile, shapes, large


class CapturedRuns(threading.local):
    """The graphs of one thread, the last used last."""

    def __init__(self) -> None:
        self._graphs: OrderedDict[Use, CapturedRun] = OrderedDict()
        self._once: OrderedDict[Use, None] = OrderedDict()

    def find(self, use: Use) -> CapturedRun | None:
        """The graph of a use."""
        if use in self._graphs:
            self._graphs.move_to_end(use)
        return self._graphs.get(use)

    def comes_again(self, use: Use) -> bool:
        """Whether it came before; from now on it did."""
        if use in self._once:
            return True
        self._once[use] = None
        if len(self._once) > REMEMBERED:
            self._once.popitem(last=False)
        return False

    def keep(self, use: Use, run: CapturedRun) -> None:
        """Keep a graph; the one that was not used for the longest time goes, if there are too many."""
        self._graphs[use] = run
        if len(self._graphs) > KEPT:
            self._graphs.popitem(last=False)


class CapturedRun:
    """One run with fixed shapes, launched as one, in the order of the stream that it was captured on.

    Args:
        context: one that runs nothing else; the graph works in its memory.
        execute: of the context. It runs once as it is, since what an engine does at its first run with new shapes
            cannot be captured, and once more to be captured. It is not kept.

    Raises:
        BackendError: there is no memory, or the library or the driver refuses.
    """

    def __init__(
        self,
        gpu: Gpu,
        spec: GraphSpec,
        context: api.IExecutionContext,
        inputs: Mapping[str, Placed],
        execute: Execute,
        stream: Stream,
    ) -> None:
        self._gpu, self._stream = gpu, stream
        self._context = context
        dtypes = {tensor.name: np.dtype(tensor.dtype) for tensor in spec.exported_inputs}
        self._copies = {
            name: gpu.empty(array.shape, dtypes[name], stream)
            for name, array in inputs.items()
            if _is_copied(spec, name, array)
        }
        self._outputs = {
            name: gpu.empty(shape, dtype, stream)
            for name, (dtype, shape) in spec.output_shapes({name: one.shape for name, one in inputs.items()}).items()
        }
        # Large inputs are held: what a graph reads must stay as long as it does.
        self._bound: dict[str, Placed] = {**inputs, **self._copies, **self._outputs}
        self._bring(inputs)
        execute(self._bound)
        with stream.capture() as self._graph:
            execute(self._bound)

    def launch(self, inputs: Mapping[str, Placed]) -> dict[str, GpuArray]:
        """Another run; outputs are the caller's own."""
        self._bring(inputs)
        self._graph.launch(self._stream)
        found = {}
        for name, array in self._outputs.items():
            found[name] = self._gpu.empty(array.shape, array.dtype, self._stream)
            self._copy(found[name], array)
        return found

    def _bring(self, inputs: Mapping[str, Placed]) -> None:
        for name, copy in self._copies.items():
            self._copy(copy, inputs[name])

    def _copy(self, to: GpuArray, array: Placed) -> None:
        gpu, stream = self._gpu.handle, self._stream.handle
        check(gpu_library().mmkg_gpu_copy(gpu, to.pointer, array.pointer, to.nbytes, stream))


def _is_copied(spec: GraphSpec, name: str, array: Placed) -> bool:
    dtype = next(tensor.dtype for tensor in spec.exported_inputs if tensor.name == name)
    return int(np.prod(array.shape)) * np.dtype(dtype).itemsize <= COPIED_BYTES
