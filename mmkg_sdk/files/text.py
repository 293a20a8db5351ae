"""Text files of a data set, plain or compressed: found by name, decoded strictly, cut into numbered lines."""

from __future__ import annotations

import contextlib
import gzip
import lzma
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import DataError
from .regular import open_regular, read_whole

SUFFIXES = ("", ".xz", ".gz")
_PLAIN_INTEGER = re.compile(r"[0-9]{1,18}", re.ASCII)


def find_file(folder: Path, name: str) -> Path | None:
    """The file `name`, `name.xz` or `name.gz` in a folder (the plain one first), or None.

    Raises:
        DataError: what has that name is no file: a folder, a pipe, a link to nothing.
    """
    for suffix in SUFFIXES:
        path = folder / (name + suffix)
        if path.is_file():
            return path
        if os.path.lexists(path):
            raise DataError(f"{path} is no regular file, though data of that name are read. Replace or rename it.")
    return None


def need_file(folder: Path, name: str) -> Path:
    """Like find_file, but a DataError when there is none."""
    path = find_file(folder, name)
    if path is None:
        raise DataError(
            f"{folder} has no {name} (nor {name}.xz, {name}.gz). Add the file; an empty one is an empty split."
        )
    return path


def read_bytes(path: Path) -> bytes:
    """The content of a file, uncompressed if its name ends in .xz or .gz.

    Raises:
        DataError: it is no regular file, cannot be read, or holds more than `most_bytes`.
    """
    with _unpacked(path) as file:
        return read_whole(file, path)


def read_text(path: Path) -> str:
    """The content as text: UTF-8, a byte order mark at the start dropped.

    Raises:
        DataError: naming the line of the first byte that is not UTF-8.
    """
    return text_of(read_bytes(path), path)


def text_of(content: bytes, path: Path) -> str:
    """Like `read_text`, of the content of a file; the path is for messages."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as err:
        line = content.count(b"\n", 0, err.start) + 1
        raise DataError(
            f"{path}:{line}: byte 0x{content[err.start]:02x} is not UTF-8. Save the file as UTF-8."
        ) from err
    return text.removeprefix("\ufeff")


def read_lines(path: Path) -> list[str]:
    """The lines without their ends, empty lines at the end dropped; line k of the file is item k - 1.

    Only LF and CRLF end a line: labels may hold other characters that Unicode calls line breaks.
    """
    lines = [line.removesuffix("\r") for line in read_text(path).split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def read_columns(path: Path, count: int, separator: str = "\t") -> Iterator[tuple[int, list[str]]]:
    """Line number and fields of every line.

    Raises:
        DataError: if a line has another number of fields.
    """
    shown = {"\t": "tab", " ": "space"}.get(separator, repr(separator))
    for number, line in enumerate(read_lines(path), 1):
        fields = line.split(separator)
        if len(fields) != count:
            raise DataError(
                f"{path}:{number}: expected {count} columns separated by one {shown}, found {len(fields)}: "
                f"{line[:80]!r}."
            )
        yield number, fields


def parse_integer(text: str, path: Path, number: int, meaning: str) -> int:
    """A non-negative decimal integer from one field, or a DataError that names file and line."""
    if not _PLAIN_INTEGER.fullmatch(text):
        raise DataError(f"{path}:{number}: {meaning} is {text[:40]!r}; expected a whole number from 0.")
    return int(text)


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write lines as UTF-8, each ended by one line feed on every platform.

    Raises:
        DataError: if a text cannot be written as UTF-8.
    """
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            file.writelines(f"{line}\n" for line in lines)
    except UnicodeEncodeError as err:
        raise DataError(f"{path.name}: a text cannot be written as UTF-8: {err}. Clean the text.") from err


def read_start(path: Path) -> str:
    """The first characters of a file, to tell its kind; bytes that are not UTF-8 are replaced.

    Raises:
        DataError: if the file cannot be opened or unpacked.
    """
    with _unpacked(path) as file:
        return file.read(64).decode("utf-8", "replace").removeprefix("\ufeff")


@contextlib.contextmanager
def _unpacked(path: Path) -> Iterator[BinaryIO]:
    """The bytes of a file, uncompressed; whatever goes wrong in the block with them is a DataError."""
    unpackers: dict[str, Callable[[BinaryIO], Any]] = {".xz": lzma.open, ".gz": gzip.open}
    unpack = unpackers.get(path.suffix, contextlib.nullcontext)
    try:
        with open_regular(path) as packed, unpack(packed) as file:
            yield file
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as err:
        raise DataError(f"{path} cannot be read: {err}. The copy may be incomplete; fetch it again.") from err


@contextlib.contextmanager
def at_place(place: str) -> Iterator[None]:
    """Put file and line in front of a DataError from a check that knows neither."""
    try:
        yield
    except DataError as err:
        raise DataError(f"{place}: {err}") from err
