"""The fields of a protobuf message, read without any schema and stricter than readers must."""

from __future__ import annotations

from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """(field number, value) in order: a number, or the bytes of a text, a message or packed values; no floats.

    Raises:
        ValueError: if the bytes are no protobuf message.
    """
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        kind = tag & 7
        if kind == _VARINT:
            value, position = _varint(message, position, limit=1 << 64)
            yield tag >> 3, value
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


def children(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """The fields that are texts, messages or packed values."""
    for field, value in fields(message):
        if isinstance(value, memoryview):
            yield field, value


def single(message: memoryview, field: int) -> int | memoryview | None:
    """The value of a field that stands there once at most; some readers take the last of several, some merge them.

    Raises:
        ValueError: it is repeated.
    """
    found = [value for number, value in fields(message) if number == field]
    if len(found) > 1:
        raise ValueError(f"field {field} stands there {len(found)} times")
    return found[0] if found else None


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
