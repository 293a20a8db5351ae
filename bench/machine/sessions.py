"""What runs a graph on a device: ONNX Runtime with the settings of the SDK's own backend, or torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from mmkg_sdk.backends.base import parse_device
from mmkg_sdk.backends.onnxruntime_cuda import (
    CUDA_PROVIDER,
    cuda_provider,
    load_libraries,
    record_providers,
    refuse_work_on_cpu,
)
from mmkg_sdk.backends.onnxruntime_sessions import session_options
from mmkg_sdk.bundle.graph_specs import GraphSpec
from mmkg_sdk.errors import BackendError, missing_package

if TYPE_CHECKING:
    from torch import nn

Arrays = Mapping[str, NDArray[Any]]
# Inputs by name -> outputs by name.
Run = Callable[[Arrays], dict[str, NDArray[Any]]]


def open_session(model: bytes, device: str, threads: int) -> Any:
    """An onnxruntime.InferenceSession of a serialised model.

    Raises:
        ImportError: onnxruntime is not installed.
        BackendError: it does not take the model, has not got the device, or would run a node elsewhere.
    """
    import onnxruntime

    kind, index = parse_device(device)
    on_gpu = kind == "cuda"
    provider: Any = cuda_provider(index) if on_gpu else "CPUExecutionProvider"
    options, said = session_options(threads), load_libraries() if on_gpu else ""
    record_providers(options)
    try:
        session = onnxruntime.InferenceSession(model, options, providers=[provider], enable_fallback=0)
    except Exception as err:  # ONNX Runtime raises its own types, which are not exported
        raise BackendError(f"ONNX Runtime cannot open the graph on {device}: {err}") from err
    if on_gpu:
        if session.get_providers()[0] != CUDA_PROVIDER:
            raise BackendError(f"this onnxruntime does not run on {device}. {said}".strip())
        refuse_work_on_cpu(session, "the graph")
    return session


def open_nodes(
    nodes: Sequence[Any],
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    constants: Sequence[Any],
    device: str,
    threads: int,
) -> Any:
    """A session of a graph of ONNX nodes."""
    from onnx import helper

    graph = helper.make_graph(nodes, "graph", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return open_session(model.SerializeToString(), device, threads)


def open_module(module: nn.Module, spec: GraphSpec, backend: str, device: str, threads: int) -> Run:
    """What runs a torch module: itself, or its export.

    Args:
        backend: "torch" or "onnxruntime".

    Raises:
        BackendError: onnxruntime is missing, or does not take the precision.
    """
    if backend == "onnxruntime":
        return _exported(module, spec, device, threads)

    import torch

    torch.set_num_threads(threads)
    placed = module.to(device)

    def run(arrays: Arrays) -> dict[str, NDArray[Any]]:
        with torch.inference_mode():
            found = placed(*(torch.from_numpy(arrays[tensor.name]).to(device) for tensor in spec.inputs))
        outputs = found if isinstance(found, tuple) else (found,)
        return {tensor.name: output.cpu().numpy() for tensor, output in zip(spec.outputs, outputs, strict=True)}

    return run


def _exported(module: nn.Module, spec: GraphSpec, device: str, threads: int) -> Run:
    from mmkg_sdk.bundle.tracing import trace_graph

    graph = trace_graph(module, spec).SerializeToString()
    try:
        session = open_session(graph, device, threads)
    except ModuleNotFoundError as err:
        raise missing_package("onnxruntime", "cpu", "backend 'onnxruntime'") from err
    except BackendError as err:
        raise BackendError(f"{spec.name}: {err}") from err
    names = [tensor.name for tensor in spec.outputs]
    return lambda arrays: dict(zip(names, session.run(names, dict(arrays)), strict=True))
