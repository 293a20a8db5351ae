"""Torch module -> ONNX model, by its GraphSpec."""

from __future__ import annotations

import inspect
import logging
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..errors import ExportError
from .graph_specs import Axis, GraphSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx
    from torch import nn

# Opset 18 is the newest that every runtime takes in every precision; opset 23's fused Attention does not build in
# float32 with TensorRT-RTX 1.7.
OPSET = 18
# Axis sizes while tracing. All differ and none is 1, so that no size is mistaken for another or made a constant.
_TRACE_SIZES = (3, 5, 7, 11, 13, *range(17, 257, 2))  # more than a graph of any number of modalities has


def trace_graph(module: nn.Module, spec: GraphSpec) -> onnx.ModelProto:
    """The ONNX model of one module, with weights inside and the names and free axes of its spec.

    Raises:
        ExportError: if the exporter cannot express the module, or gives it another signature.
    """
    import torch

    sizes = {name: max(size, axis.min) for size, (name, axis) in zip(_TRACE_SIZES, spec.axes().items(), strict=False)}
    if "num_entities" in sizes:  # the k best need at least k rows
        sizes["num_entities"] = max(spec.axes()["num_entities"].typical, 2)
    dims = {name: torch.export.Dim(name, min=axis.min, max=axis.max) for name, axis in spec.axes().items()}
    arguments, dynamic = [], []
    for tensor in spec.inputs:
        shape = [axis if isinstance(axis, int) else sizes[axis.name] for axis in tensor.shape]
        arguments.append(torch.zeros(shape, dtype=getattr(torch, tensor.dtype)))
        dynamic.append({i: dims[axis.name] for i, axis in enumerate(tensor.shape) if isinstance(axis, Axis)})
    try:
        with _quiet_exporter():
            program = torch.onnx.export(
                module.eval(),
                tuple(arguments),
                dynamo=True,
                verbose=False,
                opset_version=OPSET,
                dynamic_shapes=_as_taken(module, dynamic),
                input_names=[tensor.name for tensor in spec.inputs],
                output_names=[tensor.name for tensor in spec.outputs],
            )
    except Exception as err:  # the exporter wraps whatever went wrong in types of its own
        raise ExportError(f"{spec.name}: torch could not export this graph: {err}") from err
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    found = [value.name for value in [*model.graph.input, *model.graph.output]]
    expected = [tensor.name for tensor in (*spec.inputs, *spec.outputs)]
    if found != expected:
        raise ExportError(f"{spec.name}: the exported graph has tensors {found}, its spec says {expected}.")
    _strip(model)
    return model


def _as_taken(module: nn.Module, given: list[Any]) -> tuple[Any, ...]:
    """What goes with each argument of a module's `forward`; what it takes as `*rest` is one tuple."""
    kinds = [parameter.kind for parameter in inspect.signature(module.forward).parameters.values()]
    if inspect.Parameter.VAR_POSITIONAL not in kinds:
        return tuple(given)
    rest = kinds.index(inspect.Parameter.VAR_POSITIONAL)
    return (*given[:rest], tuple(given[rest:]))


def _strip(model: onnx.ModelProto) -> None:
    """Drop what a reader does not need and what would differ between machines: traces, paths, shape notes."""
    model.ClearField("metadata_props")
    model.producer_name, model.producer_version = "mmkg_sdk", ""
    _strip_graph(model.graph)


def _strip_graph(graph: onnx.GraphProto) -> None:
    """The same for a graph and for the bodies of its loops."""
    graph.ClearField("metadata_props")
    graph.ClearField("value_info")
    graph.doc_string = ""
    for node in graph.node:
        node.ClearField("metadata_props")
        node.doc_string = ""
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _strip_graph(attribute.g)
    for value in [*graph.input, *graph.output]:
        value.ClearField("metadata_props")
    for tensor in graph.initializer:
        tensor.ClearField("metadata_props")


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """The exporter logs and warns about packages that we do not use, and that Scans have no outputs beside their state;
    errors still come through."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
