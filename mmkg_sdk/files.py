"""Files that are the old one or the new one, never half of each; and label files, one name per line."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from .errors import DataError
from .labels import Labels


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """A binary file to write that takes the place of `path` when the block ends without an error.

    It is written beside `path` as `.NAME.PID.tmp`, flushed to the disk and renamed. An error removes it; a
    kill leaves it behind, and `path` as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def write_atomically(path: Path, data: bytes) -> None:
    """Put `data` in place of whatever `path` held; a reader or a kill never sees a part of it."""
    with atomic_file(path) as file:
        file.write(data)


def write_labels(path: Path, labels: Labels) -> None:
    """Write one label per line, UTF-8, every line ended by one line feed.

    Raises:
        DataError: if a label cannot be written as UTF-8 (a lone surrogate).
    """
    lines = []
    for position, label in enumerate(labels):
        try:
            lines.append(label.encode("utf-8"))
        except UnicodeEncodeError as err:
            raise DataError(
                f"{labels.kind} label {position} is {label!r}, which has no UTF-8 form. Rename it."
            ) from err
    write_atomically(path, b"".join(line + b"\n" for line in lines))


def read_labels(path: Path, kind: str = "entity") -> Labels:
    """The labels of a file with one label per line; the line number, from 0, is the id.

    Lines end at a line feed and nowhere else, so a label may hold any other character. The last line feed may
    lack.

    Raises:
        DataError: file absent or empty, not UTF-8, a byte order mark or carriage return, an empty or repeated
            label; with the line where it stands, from 1.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as err:
        raise DataError(f"cannot read {path}: {err.strerror}. Expected one {kind} label per line.") from err
    if not lines[-1]:
        lines.pop()
    if not lines:
        raise DataError(f"{path} is empty; expected one {kind} label per line.")
    names: list[str] = []
    first_lines: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        name = _label(line, f"{path}:{number}", kind)
        first = first_lines.setdefault(name, number)
        if first != number:
            raise DataError(f"{path}:{number}: {kind} label {name!r} stands in line {first} already; rename one.")
        names.append(name)
    return Labels(names, kind=kind)


def _label(line: bytes, place: str, kind: str) -> str:
    """One line as a label, or an error that names the place."""
    try:
        name = line.decode("utf-8")
    except UnicodeDecodeError as err:
        raise DataError(f"{place}: {line[:40]!r} is not UTF-8. Convert the file to UTF-8.") from err
    if not name:
        raise DataError(f"{place}: empty line; expected one {kind} label per line.")
    if "\r" in name:
        raise DataError(f"{place}: {name[:40]!r} holds a carriage return. Convert the line ends to LF.")
    if name.startswith("\ufeff"):
        raise DataError(f"{place}: the line begins with a byte order mark. Save as UTF-8 without it.")
    return name


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut, where the system lets a folder be opened (not on Windows)."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
