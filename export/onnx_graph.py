"""Torch module -> ONNX file. Weights stay outside the graph, in a safetensors file that the ONNX file points into."""

from __future__ import annotations

import inspect
import json
import logging
import warnings
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmkg_sdk.bundle.graph_specs import Axis, GraphSpec
from mmkg_sdk.errors import ExportError

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


def write_graph(module: nn.Module, spec: GraphSpec, folder: Path) -> None:
    """The ONNX file of one module, beside the safetensors files of a bundle, which its weights are found in."""
    model = trace_graph(module, spec)
    # One with the table inside is made of other graphs, adds no weight and names theirs.
    prefix = "" if spec.baked else f"{spec.name}."
    places = {name: Stored("weights.safetensors", prefix + name) for name in module.state_dict()}
    if spec.baked:
        places |= _bake_table(model, spec, folder)
    link_weights(model, places, folder)
    (folder / spec.file_name).write_bytes(model.SerializeToString())


@dataclass(frozen=True)
class Stored:
    """Where a weight lies: a tensor of a safetensors file, or its bytes from one up to another."""

    file_name: str
    tensor: str
    begin: int = 0
    end: int | None = None


def link_weights(model: onnx.ModelProto, places: Mapping[str, Stored], folder: Path) -> None:
    """Replace weights inside the graph by references into safetensors files of the same folder, in place.

    Args:
        places: of initializers, by name.
    """
    import onnx

    headers: dict[str, dict[str, dict[str, Any]]] = {}
    for tensor in model.graph.initializer:
        if tensor.name not in places:
            continue
        place = places[tensor.name]
        header = headers.setdefault(place.file_name, _header(folder / place.file_name))
        found = range(*header[place.tensor]["data_offsets"])[place.begin : place.end]
        for field in ("raw_data", "float_data", "int64_data", "int32_data", "double_data"):
            tensor.ClearField(field)  # type: ignore[arg-type]
        tensor.data_location = onnx.TensorProto.EXTERNAL
        where = (("location", place.file_name), ("offset", str(found.start)), ("length", str(len(found))))
        for entry, value in where:
            tensor.external_data.add(key=entry, value=value)


def _bake_table(model: onnx.ModelProto, spec: GraphSpec, folder: Path) -> dict[str, Stored]:
    """Turn the inputs that are the table, or its parts one behind the other, into constants, in place.

    Returns:
        Where they lie.
    """
    import onnx

    rows, width = _header(folder / "table.safetensors")["vectors"]["shape"]
    places, start = {}, 0
    for part in (tensor for tensor in spec.inputs if tensor.name in spec.baked):
        count = part.shape[0] if isinstance(part.shape[0], int) else rows
        (position,) = [i for i, tensor in enumerate(model.graph.input) if tensor.name == part.name]
        del model.graph.input[position]
        constant = model.graph.initializer.add(name=part.name, data_type=onnx.TensorProto.FLOAT)
        constant.dims.extend((count, width))
        stop = start + 4 * width * count
        places[part.name] = Stored("table.safetensors", "vectors", start, stop)
        start = stop
    return places


def _header(path: Path) -> dict[str, dict[str, Any]]:
    """Tensors of a safetensors file, their `data_offsets` from the file's begin: 8 bytes header length, JSON, data."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header: dict[str, Any] = json.loads(file.read(length))
    tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
    for entry in tensors.values():
        entry["data_offsets"] = [8 + length + offset for offset in entry["data_offsets"]]
    return tensors


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
