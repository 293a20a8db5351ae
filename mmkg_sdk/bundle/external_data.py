"""Where an ONNX file points to: the external data of all its tensors, read without the onnx package.

A reader of ONNX files joins these locations to the file's folder. Not every version of every reader refuses one that
leads elsewhere, and some take a reserved name for an address in memory, so a bundle is checked before it gets there.
"""

from __future__ import annotations

from collections.abc import Iterator

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
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def external_data(model: bytes) -> Iterator[list[tuple[str, str]]]:
    """The external_data entries (key, value) of every tensor that has some, in subgraphs and functions as well.

    Raises:
        ValueError: if the bytes are no protobuf message.
    """
    # A stack of our own: files nested deeper than Python recurses are read as well.
    waiting = [("model", memoryview(model))]
    while waiting:
        kind, message = waiting.pop()
        if kind == "tensor":
            entries = [_entry(value) for field, value in _fields(message) if field == _EXTERNAL_DATA]
            if entries:
                yield entries
            continue
        children = _FIELDS[kind]
        waiting += [(children[field], value) for field, value in _fields(message) if field in children]


def _entry(message: memoryview) -> tuple[str, str]:
    """A StringStringEntryProto; as in protobuf, the last of a repeated field counts."""
    fields = dict(_fields(message))
    return str(fields.get(1, b""), "utf-8"), str(fields.get(2, b""), "utf-8")


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """(field number, content) of the length-delimited fields of one message."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        kind = tag & 7
        if kind == _VARINT:
            _, position = _varint(message, position, limit=1 << 64)
        elif kind in (_FIXED64, _FIXED32):
            position += 8 if kind == _FIXED64 else 4
        elif kind == _BYTES:
            length, start = _varint(message, position)
            position = start + length
            yield tag >> 3, message[start:position]
        else:
            raise ValueError(f"wire type {kind} at byte {position}")
    if position > len(message):
        raise ValueError(f"a field ends {position - len(message)} bytes behind its message")


def _varint(message: memoryview, position: int, limit: int = 1 << 32) -> tuple[int, int]:
    """A number and the position behind it. Readers cut larger ones off, each in its own way, so they are refused."""
    value = shift = 0
    while position < len(message) and shift < 70:
        byte = message[position]
        value |= (byte & 0x7F) << shift
        position += 1
        if byte < 0x80:
            if value >= limit:
                raise ValueError(f"number too large before byte {position}")
            return value, position
        shift += 7
    raise ValueError(f"number cut off at byte {position}")
