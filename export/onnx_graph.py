"""Torch module -> ONNX file of a bundle. Weights stay outside, in a safetensors file that the ONNX file points into."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmkg_sdk.bundle import tracing
from mmkg_sdk.bundle.graph_specs import GraphSpec

if TYPE_CHECKING:
    import onnx
    from torch import nn


def write_graph(module: nn.Module, spec: GraphSpec, folder: Path) -> None:
    """The ONNX file of one module, beside the safetensors files of a bundle, which its weights are found in."""
    model = tracing.trace_graph(module, spec)
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
