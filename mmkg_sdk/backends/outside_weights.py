"""The weights of a graph that lie outside of its ONNX file, as the file names and places them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..bundle import Bundle
from ..bundle.protobuf import children
from ..files.tensors import BFLOAT16_BITS, tensors_in

# onnx.proto3: ModelProto.graph, GraphProto.initializer, TensorProto.name and external_data.
_GRAPH, _INITIALIZER, _NAME, _EXTERNAL_DATA = 7, 5, 8, 13
_KEY, _VALUE = 1, 2
_WEIGHTS = "weights.safetensors"


class OutsideWeight(NamedTuple):
    """An initializer of a graph. Offset and length are in bytes of the bundle's file `location`."""

    name: str
    location: str
    offset: int
    length: int


def outside_weights(model: memoryview) -> Iterator[OutsideWeight]:
    """The initializers of an ONNX file that lie outside."""
    graphs = (value for field, value in children(model) if field == _GRAPH)
    tensors = (value for graph in graphs for field, value in children(graph) if field == _INITIALIZER)
    for tensor in tensors:
        parts = list(children(tensor))
        entries = (dict(children(value)) for field, value in parts if field == _EXTERNAL_DATA)
        place = {str(entry[_KEY], "utf-8"): str(entry[_VALUE], "utf-8") for entry in entries}
        if place:
            name = next(str(value, "utf-8") for field, value in parts if field == _NAME)
            yield OutsideWeight(name, place["location"], int(place.get("offset", "0")), int(place["length"]))


def weight_arrays(bundle: Bundle, graph: str) -> dict[str, NDArray[Any]]:
    """Those of a graph's weights outside that numpy has a dtype for, by name, as the bundle's file holds them.

    What weights.safetensors calls GRAPH.NAME is taken for weight NAME only where the graph places it at the very bytes.
    """
    content, prefix = bundle.files[_WEIGHTS], f"{graph}."
    tensors = {name.removeprefix(prefix): array for name, array in tensors_in(content, prefix).items()}
    start = np.frombuffer(content, np.uint8).ctypes.data
    return {
        weight.name: tensors[weight.name]
        for weight in outside_weights(bundle.files[f"{graph}.onnx"])
        if weight.name in tensors
        and tensors[weight.name].dtype != BFLOAT16_BITS
        and (_WEIGHTS, tensors[weight.name].ctypes.data - start, tensors[weight.name].nbytes) == weight[1:]
    }
