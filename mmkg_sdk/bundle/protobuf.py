"""The fields of a protobuf message, read without any schema and stricter than readers must, and changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """(field number, value) in order: a number, or the bytes of a text, a message or packed values; no floats.

    Raises:
        ValueError: if the bytes are no protobuf message.
    """
    for _, _, field, value in _placed(message):
        if value is not None:
            yield field, value


def changed(message: memoryview, change: Callable[[int, memoryview], bytes | None]) -> bytes:
    """The message with other values in the place of some texts and messages.

    Args:
        change: from a field's number and value to its new value; None: it stays.

    Raises:
        ValueError: if the bytes are no protobuf message.
    """
    written, copied = bytearray(), 0
    for start, stop, field, value in _placed(message):
        if isinstance(value, memoryview) and (new := change(field, value)) is not None:
            written += message[copied:start]
            written += field_of(field, new)
            copied = stop
    return bytes(written + message[copied:])


def field_of(number: int, value: int | bytes | str) -> bytes:
    """A field of a message, with its value: a number, a text or a message."""
    if isinstance(value, int):
        return _varint_of(number << 3 | _VARINT) + _varint_of(value)
    content = value.encode() if isinstance(value, str) else value
    return _varint_of(number << 3 | _BYTES) + _varint_of(len(content)) + content


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


def _placed(message: memoryview) -> Iterator[tuple[int, int, int, int | memoryview | None]]:
    """Where each field begins and ends, its number and its value; None: a float."""
    position = 0
    while position < len(message):
        begin = position
        tag, position = _varint(message, position)
        kind = tag & 7
        value: int | memoryview | None = None
        if kind == _VARINT:
            value, position = _varint(message, position, limit=1 << 64)
        elif kind in (_FIXED64, _FIXED32):
            position += 8 if kind == _FIXED64 else 4
        elif kind == _BYTES:
            length, start = _varint(message, position)
            position = start + length
            value = message[start:position]
        else:
            raise ValueError(f"wire type {kind} at byte {position}")
        yield begin, position, tag >> 3, value
    if position > len(message):
        raise ValueError(f"a field ends {position - len(message)} bytes behind its message")


def _varint_of(number: int) -> bytes:
    written = bytearray()
    while number >= 0x80:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*written, number])


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
