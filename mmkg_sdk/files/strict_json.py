"""Strict JSON, and the JSON files of a data set: one value, or one object per line, named in every message."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import DataError
from .text import read_lines, read_text

# Whole numbers beyond it are no sizes, and floats beyond it are infinite to most who read them.
_LARGEST = (1 << 63) - 1
_SURROGATE = re.compile("[\ud800-\udfff]")


class NotStrict(ValueError):
    """JSON to Python, but not to the standard; the message says what."""


def strict_json(text: str) -> Any:
    """The value of a JSON text.

    Raises:
        NotStrict: it repeats a key, or holds NaN, infinity or half of a surrogate pair in a key.
        ValueError: it is not JSON (JSONDecodeError), or holds a number of thousands of digits.
        RecursionError: it is nested too deep.
    """
    return json.loads(text, object_pairs_hook=_distinct, parse_constant=_no_constant)


def plain_json(data: bytes) -> Any:
    """The value of a file that a program wrote for itself: strict JSON whose texts and numbers can be used as they are.

    Raises:
        ValueError: it is no JSON, a text holds half a surrogate pair, or a number does not fit into 64 bits.
        RecursionError: it is nested too deep.
    """
    value = strict_json(data.decode("utf-8"))
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            waiting += [*part, *part.values()]
        elif isinstance(part, list):
            waiting += part
        elif isinstance(part, str) and (half := _SURROGATE.search(part)):
            raise NotStrict(f"a text holds {half.group()!r}, half of a surrogate pair")
        elif isinstance(part, (int, float)) and not -_LARGEST <= part <= _LARGEST:
            raise NotStrict(f"a number is {'infinite' if isinstance(part, float) else 'longer than 64 bits'}")
    return value


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise NotStrict(f"key {key[:80]!r} stands there twice")
        if _SURROGATE.search(key):
            raise NotStrict(f"key {key[:80]!r} holds half of a surrogate pair, which no text file can; clean it")
        found[key] = value
    return found


def _no_constant(name: str) -> Any:
    raise NotStrict(f"{name} is not JSON")


def read_json_object(path: Path) -> dict[str, Any]:
    """A file whose content is one object without repeated keys."""
    return parse_json_object(read_text(path), path)


def parse_json_object(text: str, path: Path) -> dict[str, Any]:
    """Like `read_json_object`, of the text of a file; the path is for messages."""
    content = _whole_json(text, path)
    if not isinstance(content, dict):
        raise DataError(f"{path}: expected one JSON object, found {type(content).__name__}.")
    return content


def read_json_list(path: Path) -> list[dict[str, Any]]:
    """A file whose content is one list of objects."""
    content = _whole_json(read_text(path), path)
    if not isinstance(content, list):
        raise DataError(f"{path}: expected one JSON list, found {type(content).__name__}.")
    for number, item in enumerate(content):
        if not isinstance(item, dict):
            raise DataError(f"{path}: item {number} (from 0) is {type(item).__name__}; expected an object.")
    return content


def read_json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """`file:line` and the object of every line."""
    for number, line in enumerate(read_lines(path), 1):
        place = f"{path}:{number}"
        try:
            content = _parse_json(line, place)
        except json.JSONDecodeError as err:
            raise DataError(f"{place}: not valid JSON: {err.msg}. The copy may be incomplete.") from err
        if not isinstance(content, dict):
            raise DataError(f"{place}: expected one JSON object on the line, found {type(content).__name__}.")
        yield place, content


def _whole_json(text: str, path: Path) -> Any:
    try:
        return _parse_json(text, str(path))
    except json.JSONDecodeError as err:
        raise DataError(f"{path}:{err.lineno}: not valid JSON: {err.msg}. The copy may be incomplete.") from err


def _parse_json(text: str, place: str) -> Any:
    """The value of a JSON text; `place` is the file, or file and line, for messages.

    Raises:
        JSONDecodeError: the text is not JSON.
        DataError: it repeats a key, is nested too deep, or holds NaN, infinity or a number of thousands of digits.
    """
    try:
        return strict_json(text)
    except json.JSONDecodeError:
        raise
    except NotStrict as err:
        raise DataError(f"{place}: {err}.") from err
    except (RecursionError, ValueError) as err:
        raise DataError(f"{place}: JSON that cannot be read: {err}.") from err


def need_text(item: dict[str, Any], key: str, place: str) -> str:
    """The text under a key.

    Raises:
        DataError: it is missing, no text, or holds a lone surrogate.
    """
    value = item.get(key)
    if not isinstance(value, str):
        found = (
            f"is {_shown(value)}" if key in item else f"is missing; found {', '.join(map(ascii, sorted(item)))[:200]}"
        )
        raise DataError(f"{place}: {key!r} {found}; expected a text.")
    if _SURROGATE.search(value):
        raise DataError(f"{place}: {key!r} holds half of a surrogate pair, which no text file can; clean it.")
    return value


def need_texts(item: dict[str, Any], key: str, place: str) -> tuple[str, ...]:
    """The list of texts under a key."""
    values = item.get(key)
    if not isinstance(values, list):
        found = f"is {_shown(values)}" if key in item else "is missing"
        raise DataError(f"{place}: {key!r} {found}; expected a list of texts.")
    return tuple(need_text({key: value}, key, place) for value in values)


def _shown(value: Any) -> str:
    return "null" if value is None else repr(str(value)[:80])
