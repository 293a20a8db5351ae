"""ONNX Runtime's CUDA graphs: runs that come again are one launch on the calling thread's stream.

NEVER RUN ON A GPU. The tests run this with a stand-in for the CUDA provider; what can be seen on a CPU they see there:
fixed sizes leave no arithmetic on shapes in any graph of any family and change no answer, and sessions read the same
weights.

What ONNX Runtime wants (`enable_cuda_graph`), and how it gets it:

* One shape of each input. A use has a session of its own with fixed sizes. Arithmetic on shapes, which else stays on
  the CPU and would not be done again, is folded away when it opens; a node that is left to the CPU is refused. Batches
  are filled up to 1, 2, 4, 8, 16 or 32, so that sessions are few; larger ones keep the GPU busy longer than their
  launches take, and run plain.
* One stream (`user_compute_stream`). It is that of the calling thread, and so are sessions and graphs.
* One address of each input and output: see captured_runs.py.
* Weights lie on the GPU once for all sessions of a graph (`add_initializer`), but for those in bfloat16 and what the
  optimizer makes of weights, which each session has.
* No node with a graph in it. The decoding of tags is one (Scan), so tagging runs plain.
* It captures in CUDA's mode for all threads, in which another thread must not get memory, unless it says that it cares
  for its own captures only. All of ours say so (mmkg_gpu_enter). Another library's thread that gets memory in the very
  moment may fail, and the capture with it. Waiting for the whole GPU is never allowed, and opening a session does:
  captures and openings take turns.

A run is captured with zeros as inputs. Then it answers the call at hand, and only where that is what a plain run
answers, the graph is kept. Else, and where anything fails, the graph of the bundle runs plain from then on, and the log
says why.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..bundle.graph_specs import Axis, GraphSpec
from ..errors import BackendError
from .base import AnyArray, DeviceArray
from .captured_runs import CapturedRun, CapturedRuns, Placed, Shapes, Use, use_of

if TYPE_CHECKING:
    from ..kernels.gpu import GpuArray, Stream

# Held by whoever opens a session on a GPU or lets one capture.
ONE_AT_A_TIME = threading.Lock()

# Sessions of a thread and a graph, each with the memory that its size works in; and what a use must have shown before
# it is worth opening one, which takes as long as hundreds of launches: it came so often, and makes one go that was not
# used for so many runs.
KEPT, AFTER, IDLE = 4, 8, 256
_LARGEST = 32
# Of the root mean square: between kernels for one size and for any, and in half precision or rounded to 8 bits.
_FLOAT32, _LESS = 1e-3, 5e-2

# Opens a session whose axes have these sizes, on a stream, for CUDA graphs. Raises BackendError.
OpenSession = Callable[[Mapping[str, int], int], Any]
Arrays = Mapping[str, AnyArray]

_log = logging.getLogger(__name__)


class GraphRuns:
    """The runs of one graph of a bundle as CUDA graphs. Safe to call from several threads: each has its own.

    Args:
        precision: of the bundle.

    Attributes:
        graphless: why runs are no CUDA graphs; None as long as they can be.
    """

    def __init__(self, spec: GraphSpec, precision: str, open_session: OpenSession) -> None:
        self._spec, self._precision, self._open_session = spec, precision, open_session
        self._runs = CapturedRuns(KEPT, AFTER, IDLE)
        self.graphless: str | None = None

    def run(self, inputs: Arrays, stream: Stream, plain: Callable[[], Mapping[str, DeviceArray]]) -> Any:
        """The outputs by name, on the GPU; None: run it plain.

        Args:
            inputs: of the host, or on the GPU and whole for work on the stream.
            stream: the calling thread's.
            plain: what a plain run of these inputs gives.

        Raises:
            BackendError: the driver refuses, or what `plain` raises.
        """
        shapes = padded_shapes(self._spec, inputs)
        use = None if shapes is None or self.graphless else use_of(self._spec, shapes, inputs)
        if shapes is None or use is None:
            return None
        found = self._runs.find(use)
        if found is None and not self._runs.is_due(use):
            return None
        if found is not None:
            with stream.gpu.entered():
                return found.launch(inputs)
        expected = plain()
        try:
            return self._captured(use, shapes, inputs, stream, expected)
        except BackendError as err:
            self.graphless = str(err)
            _log.warning("%s runs without CUDA graphs from now on: %s", self._spec.name, err)
            return expected

    def capture(
        self, inputs: Arrays, stream: Stream, plain: Callable[[], Mapping[str, DeviceArray]]
    ) -> dict[str, GpuArray]:
        """Like `run`, captured if it was not.

        Raises:
            BackendError: these inputs are none that are captured, ONNX Runtime or the driver refuses, or the answer is
                another than that of a plain run.
        """
        shapes = padded_shapes(self._spec, inputs)
        use = None if shapes is None else use_of(self._spec, shapes, inputs)
        if shapes is None or use is None:
            given = {name: list(array.shape) for name, array in inputs.items()}
            raise BackendError(
                f"runs of {self._spec.name} with inputs {given} are no CUDA graphs: the batch must be at most "
                f"{_LARGEST}, and large inputs without a row for each of the batch on the GPU (Backend.place)."
            )
        if found := self._runs.find(use):
            with stream.gpu.entered():
                return found.launch(inputs)
        return self._captured(use, shapes, inputs, stream, plain())

    def _captured(
        self, use: Use, shapes: Shapes, inputs: Arrays, stream: Stream, expected: Mapping[str, DeviceArray]
    ) -> dict[str, GpuArray]:
        with stream.gpu.entered():
            run = CapturedRun(stream.gpu, self._spec, shapes, inputs, partial(self._record, shapes, stream), stream)
            outputs = run.launch(inputs)
            self._compare(expected, outputs)
        self._runs.keep(use, run)
        return outputs

    def _record(self, shapes: Shapes, stream: Stream, bound: Mapping[str, Placed]) -> Callable[[], None]:
        import onnxruntime

        sizes = {
            axis.name: size
            for tensor in self._spec.exported_inputs
            for axis, size in zip(tensor.shape, shapes[tensor.name], strict=True)
            if isinstance(axis, Axis)
        }
        device = "cuda", stream.gpu.index
        options = onnxruntime.RunOptions()
        # What follows on the stream comes after it; the host need not wait.
        options.add_run_config_entry("disable_synchronize_execution_providers", "1")
        with ONE_AT_A_TIME:
            session = self._open_session(sizes, stream.handle)
            binding = session.io_binding()
            for bind, tensors in (
                (binding.bind_input, self._spec.exported_inputs),
                (binding.bind_output, self._spec.outputs),
            ):
                for tensor in tensors:
                    array = bound[tensor.name]
                    bind(tensor.name, *device, np.dtype(tensor.dtype), list(array.shape), array.pointer)
            launch = partial(_launch, session, binding, options)
            launch()  # it runs as it is until it has its memory, and is captured
            stream.synchronize()
        return launch

    def _compare(self, expected: Mapping[str, DeviceArray], found: Mapping[str, DeviceArray]) -> None:
        for name, output in expected.items():
            wanted, given = output.numpy(), found[name].numpy()
            is_float = wanted.dtype.kind == "f"
            finite = np.isfinite(wanted)
            scale = np.sqrt(np.mean(np.square(wanted[finite], dtype=np.float64))) if is_float and finite.any() else 1.0
            difference = np.abs(wanted[finite].astype(np.float64) - given[finite]).max(initial=0)
            allowed = (_FLOAT32 if self._precision == "fp32" else _LESS) * scale if is_float else 0
            what = f"they differ by {difference:.3g}, and {allowed:.3g} is allowed" if difference > allowed else ""
            if not np.array_equal(finite, np.isfinite(given)):
                what = f"{(finite & ~np.isfinite(given)).sum():,} of {finite.size:,} numbers are not finite"
            if what:
                raise BackendError(
                    f"as a CUDA graph of ONNX Runtime {self._spec.name} gives another {name} than without: {what}."
                )


def padded_shapes(spec: GraphSpec, inputs: Arrays) -> Shapes | None:
    """The shapes of the inputs with the batch filled up; None if it is too large, or they are none of the graph's."""
    if inputs.keys() != {tensor.name for tensor in spec.exported_inputs}:
        return None
    sizes: dict[str, int] = {}
    for tensor in spec.exported_inputs:
        array = inputs[tensor.name]
        if array.dtype != np.dtype(tensor.dtype) or len(array.shape) != len(tensor.shape):
            return None
        for axis, size in zip(tensor.shape, array.shape, strict=True):
            if size != (sizes.setdefault(axis.name, size) if isinstance(axis, Axis) else axis):
                return None
    batch = next(iter(spec.batch_axes()), None)
    for tensor in (*spec.exported_inputs, *spec.outputs):
        places = [at for at, axis in enumerate(tensor.shape) if isinstance(axis, Axis) and axis.name == batch]
        if batch is None or places not in ([], [0]):  # rows of the batch must lie one behind the other
            return None
    if batch is None or not 1 <= sizes[batch] <= _LARGEST:
        return None
    filled = {**sizes, batch: 1 << (sizes[batch] - 1).bit_length()}
    return {
        tensor.name: tuple(filled[axis.name] if isinstance(axis, Axis) else axis for axis in tensor.shape)
        for tensor in spec.exported_inputs
    }


def _launch(session: Any, binding: Any, options: Any) -> None:
    try:
        session.run_with_iobinding(binding, options)
    except Exception as err:  # ONNX Runtime raises its own types, which are not exported
        raise BackendError(str(err)) from err
