"""What ONNX Runtime's CUDA provider needs: its libraries, its options, and a look at what it left to the CPU.

Never run on a GPU. The package for GPUs was looked at without one: what it prints, names and records is as said here.

Decided, and why:

* Streams. `user_compute_stream` is one for a session. The session that all threads share has none: every run gets a
  stream of its own from ONNX Runtime and is whole when it returns, which costs a wait on the host for each run, and
  lets any stream read what it gave.
* CUDA graphs, and with them the calling thread's stream, have sessions of their own: onnxruntime_graphs.py.
* Page-locked memory. The Python package makes no such arrays for CUDA. What a query copies are ids and at most 256 rows
  of the table.
"""

from __future__ import annotations

import contextlib
import functools
import io
from typing import Any

import numpy as np

from ..errors import BackendError

CUDA_PROVIDER = "CUDAExecutionProvider"

# All of these the provider has kernels for. Where one is on the CPU, what it works on are shapes, which lie there.
_ON_SHAPES = frozenset(
    [
        *("Shape", "Size", "Gather", "Concat", "Unsqueeze", "Squeeze", "Slice", "Cast", "Identity", "Range"),
        *("ConstantOfShape", "Add", "Sub", "Mul", "Div", "Equal", "Where", "Min", "Max"),
    ]
)
_DTYPES = {"float": "float32", "double": "float64"}  # others are called as numpy calls them


def cuda_provider(index: int, stream: int | None = None) -> tuple[str, dict[str, int]]:
    """The provider with its options; TF32 is off, as the exports' parity was measured.

    Args:
        stream: CUstream handle; runs are CUDA graphs there. None: each has a stream of ONNX Runtime's own.
    """
    options = {"device_id": index, "use_tf32": 0}
    if stream is not None:
        options |= {"enable_cuda_graph": 1, "user_compute_stream": stream}
    return CUDA_PROVIDER, options


@functools.cache
def load_libraries() -> str:
    """Load CUDA and cuDNN from the packages that pip installs, where ONNX Runtime does not look by itself.

    Returns:
        What it said of those that did not load, which it would print; "" if it said nothing.
    """
    import onnxruntime

    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        onnxruntime.preload_dlls()
    lines = [line.strip() for line in said.getvalue().splitlines() if line.startswith("Failed")]
    return "".join(f"{line}. " for line in lines)


def record_providers(options: Any) -> None:
    """Have a session remember which provider each node went to."""
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")


def nodes_on_cpu(session: Any) -> list[str]:
    """Operator and name of the nodes that ONNX Runtime left to its CPU provider, those that work on shapes excepted.

    Args:
        session: an onnxruntime.InferenceSession that was opened with `record_providers`.
    """
    return [
        f"{node.op_type} {node.name!r}"
        for part in session.get_provider_graph_assignment_info()
        if part.ep_name != CUDA_PROVIDER
        for node in part.get_nodes()
        if node.op_type not in _ON_SHAPES
    ]


def node_providers(session: Any) -> dict[str, dict[str, int]]:
    """How many nodes of each operator went to each provider; of a session that was opened with `record_providers`."""
    found: dict[str, dict[str, int]] = {}
    for part in session.get_provider_graph_assignment_info():
        counts = found.setdefault(part.ep_name, {})
        for node in part.get_nodes():
            counts[node.op_type] = counts.get(node.op_type, 0) + 1
    return found


def refuse_work_on_cpu(session: Any, graph: str) -> None:
    """Raise BackendError where a node of a graph would run on the CPU, between copies there and back."""
    if left := nodes_on_cpu(session):
        more = f" and {len(left) - 3} more" if len(left) > 3 else ""
        raise BackendError(
            f"{graph}: this ONNX Runtime has no CUDA kernel for {', '.join(left[:3])}{more}, which it would run on the "
            "CPU. Pass backend='torch', or device='cpu'."
        )


def refuse_any_node_on_cpu(session: Any, graph: str) -> None:
    """Raise BackendError where a node is on the CPU: with sizes that are fixed none should be, shapes or not."""
    counts = {name: sum(nodes.values()) for name, nodes in node_providers(session).items() if name != CUDA_PROVIDER}
    if counts:
        on = ", ".join(f"{count} on {name}" for name, count in counts.items())
        raise BackendError(f"{graph}: with fixed sizes ONNX Runtime still has nodes elsewhere than on the GPU: {on}.")


def element_dtype(data_type: str) -> np.dtype[Any]:
    """The dtype of an onnxruntime.OrtValue from what it says of itself, as in "tensor(float)".

    Raises:
        TypeError: numpy does not know it.
    """
    name = data_type.removeprefix("tensor(").removesuffix(")")
    return np.dtype(_DTYPES.get(name, name))
