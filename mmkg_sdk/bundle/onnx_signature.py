"""What an ONNX file takes and gives, read without the onnx package, to be compared with bundle.json on opening.

Not every way to an answer looks at the graph: kernels and torch modules do its work. They and the checks of inputs rely
on bundle.json, so it must say what the graph says.
"""

from __future__ import annotations

from typing import Any

from .protobuf import children, single

Tensor = dict[str, Any]

# Fields of onnx.proto3.
_GRAPH = 7  # of a model
_KINDS = {"inputs": 11, "outputs": 12}  # of a graph
_NAME, _TYPE = 1, 2  # of a value
_TENSOR = 1  # of a type
_ELEMENT, _SHAPE = 1, 2  # of a tensor type
_DIMENSION = 1  # of a shape
_SIZE, _AXIS = 1, 2  # of a dimension
_DTYPES = {1: "float32", 7: "int64", 9: "bool", 10: "float16"}


def onnx_signature(model: memoryview) -> dict[str, list[Tensor]]:
    """{"inputs", "outputs"}: name, dtype and shape of each tensor, as `GraphSpec.to_json` gives them.

    Raises:
        ValueError: if the bytes are no ONNX model, or one whose tensors have no such form.
    """
    graph = _message(model, _GRAPH)
    found = list(children(graph))
    return {kind: [_tensor(value) for field, value in found if field == number] for kind, number in _KINDS.items()}


def _tensor(value: memoryview) -> Tensor:
    tensor = _message(_message(value, _TYPE), _TENSOR)
    dimensions = [size for field, size in children(_message(tensor, _SHAPE)) if field == _DIMENSION]
    element = single(tensor, _ELEMENT)
    return {
        "name": str(_message(value, _NAME), "utf-8"),
        "dtype": _DTYPES.get(element, f"type {element}") if isinstance(element, int) else None,
        "shape": [_size(dimension) for dimension in dimensions],
    }


def _size(dimension: memoryview) -> int | str | None:
    axis, size = single(dimension, _AXIS), single(dimension, _SIZE)
    if isinstance(axis, memoryview):
        return str(axis, "utf-8")
    return size if isinstance(size, int) else None


def _message(message: memoryview, field: int) -> memoryview:
    value = single(message, field)
    if not isinstance(value, memoryview):
        raise ValueError(f"field {field} is missing")
    return value
