"""Where an ONNX file points to: the external data of all its tensors, read without the onnx package.

A reader of ONNX files joins these locations to the file's folder. Not every version of every reader refuses one that
leads elsewhere, and some take a reserved name for an address in memory, so a bundle is checked before it gets there.
"""

from __future__ import annotations

from collections.abc import Iterator

from .protobuf import children

# Message -> field number -> message, for all fields of onnx.proto3 through which a tensor is reached.
_FIELDS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {
        5: "tensor",
        6: "graph",
        10: "tensor",
        11: "graph",
        22: "sparse tensor",
        23: "sparse tensor",
    },
    "sparse tensor": {1: "tensor", 2: "tensor"},
}
_EXTERNAL_DATA = 13


def external_data(model: memoryview) -> Iterator[list[tuple[str, str]]]:
    """The external_data entries (key, value) of every tensor that has some, in subgraphs and functions as well.

    Raises:
        ValueError: if the bytes are no protobuf message.
    """
    # A stack of our own: files nested deeper than Python recurses are read as well.
    waiting = [("model", model)]
    while waiting:
        kind, message = waiting.pop()
        if kind == "tensor":
            entries = [_entry(value) for field, value in children(message) if field == _EXTERNAL_DATA]
            if entries:
                yield entries
            continue
        inside = _FIELDS[kind]
        waiting += [(inside[field], value) for field, value in children(message) if field in inside]


def _entry(message: memoryview) -> tuple[str, str]:
    """A StringStringEntryProto; as in protobuf, the last of a repeated field counts."""
    fields = dict(children(message))
    return str(fields.get(1, b""), "utf-8"), str(fields.get(2, b""), "utf-8")
