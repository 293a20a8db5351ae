"""complete.onnx for a table that rows were added to, without the onnx package.

The graph holds the table as one constant, which points into table.safetensors, and gives the k best of its rows.
Nothing else in it depends on the number of rows, as long as the constant may be one (families/complete.py).
"""

from __future__ import annotations

import itertools
import math
from typing import Any

from ..errors import ExportError
from ..files.tensors import TensorPlace
from .protobuf import changed, children, field_of, single

# Answers that the graph gives, where the table has as many rows.
TOP_K = 100
# What ONNX Runtime takes of one constant.
MOST_BYTES = (1 << 31) - 1
_TABLE, _BEST = "table", "num_best"

# Fields of onnx.proto3.
_GRAPH = 7  # of a model
_NODE, _INITIALIZER, _OUTPUT = 1, 5, 12  # of a graph
_INPUT, _OPERATOR = 1, 4  # of a node
_DIMS, _DTYPE, _NAME, _RAW, _EXTERNAL, _LOCATION = 1, 2, 8, 9, 13, 14  # of a tensor
_VALUE_TYPE = 2  # of a value, whose name is 1
_FLOAT, _INT64 = 1, 7
_LIES_OUTSIDE = 1  # TensorProto.EXTERNAL


def complete_outputs(rows: int, outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The outputs in the graph's signature, as bundle.json has them, for a table of so many rows."""
    return [{**tensor, "shape": [tensor["shape"][0], min(TOP_K, rows)]} for tensor in outputs]


def complete_of(model: memoryview, table: TensorPlace, best: int) -> bytes:
    """The graph for a larger table.

    Args:
        model: the graph of a smaller one.
        table: where "vectors" lie in the new table.safetensors.
        best: how many rows it is to give.

    Raises:
        ExportError: it holds the table in several constants, or would have to.
        ValueError: the bytes are no ONNX model.
    """
    constants = {_name(tensor) for tensor in _all(model, _INITIALIZER)}
    if _TABLE not in constants or table.size > MOST_BYTES:
        raise ExportError(
            f"complete.onnx would hold a table of {math.prod(table.shape):,} numbers; one of 2 GiB or more is cut into "
            "parts when it is exported, which cannot be done here. Train or import a run with these entities, and "
            "export it."
        )

    def in_graph(field: int, value: memoryview) -> bytes | None:
        if field == _NODE and _operator(value) == "TopK":
            return _with_best(value)
        if field == _INITIALIZER and _name(value) == _TABLE:
            return _table(table)
        if field == _INITIALIZER and _name(value) == _BEST:
            return _number(_BEST, best)
        return _output(value, best) if field == _OUTPUT else None

    def in_model(field: int, value: memoryview) -> bytes | None:
        if field != _GRAPH:
            return None
        new = b"" if _BEST in constants else field_of(_INITIALIZER, _number(_BEST, best))
        return changed(value, in_graph) + new

    return changed(model, in_model)


def _all(model: memoryview, kind: int) -> list[memoryview]:
    """The messages of a kind in the graph of a model."""
    graph = single(model, _GRAPH)
    if not isinstance(graph, memoryview):
        raise ValueError("it has no graph")
    return [value for field, value in children(graph) if field == kind]


def _name(tensor: memoryview) -> str:
    name = single(tensor, _NAME)
    return str(name, "utf-8") if isinstance(name, memoryview) else ""


def _operator(node: memoryview) -> str:
    operator = single(node, _OPERATOR)
    return str(operator, "utf-8") if isinstance(operator, memoryview) else ""


def _with_best(node: memoryview) -> bytes:
    """TopK of scores and `num_best`."""
    places = itertools.count()
    return changed(node, lambda field, value: _BEST.encode() if field == _INPUT and next(places) == 1 else None)


def _table(table: TensorPlace) -> bytes:
    """The constant that lies in table.safetensors."""
    where = {"location": "table.safetensors", "offset": str(table.start), "length": str(table.size)}
    return b"".join(
        [
            *(field_of(_DIMS, size) for size in table.shape),
            field_of(_DTYPE, _FLOAT),
            field_of(_NAME, _TABLE),
            *(field_of(_EXTERNAL, field_of(1, key) + field_of(2, value)) for key, value in where.items()),
            field_of(_LOCATION, _LIES_OUTSIDE),
        ]
    )


def _number(name: str, value: int) -> bytes:
    """A constant int64 [1]."""
    raw = value.to_bytes(8, "little")
    return field_of(_DIMS, 1) + field_of(_DTYPE, _INT64) + field_of(_NAME, name) + field_of(_RAW, raw)


def _output(value: memoryview, best: int) -> bytes:
    """The description of an output [batch, best]: value -> type -> tensor type -> shape -> its second dimension."""
    numbers = (_VALUE_TYPE, 1, 2)

    def deeper(level: int) -> Any:
        def change(field: int, content: memoryview) -> bytes | None:
            if level == len(numbers):
                return None if single(content, 1) is None else field_of(1, best)
            return changed(content, deeper(level + 1)) if field == numbers[level] else None

        return change

    return changed(value, deeper(0))
