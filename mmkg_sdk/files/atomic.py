"""Files that are the old one or the new one, never half of each, and what is said when the disk does not take one."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import DataError


def write_atomically(path: Path, content: bytes | Callable[[BinaryIO], object]) -> None:
    """Put the content in place of whatever `path` held; a reader or a kill never sees a part of it.

    It is written beside `path` as `.NAME.PID.tmp`, flushed to the disk and renamed. An error removes it; a kill leaves
    it behind, and `path` as it was.

    Args:
        content: bytes, or what writes them into a file; it is called again to tell how many they are.

    Raises:
        DataError: the system does not take them; with the path, the bytes needed and those that are free.
    """
    write = content if callable(content) else lambda file: file.write(content)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as err:
        temporary.unlink(missing_ok=True)
        if (cause := system_error(err)) is None:
            raise
        length = _Length()
        write(length)
        raise not_written(path, cause, f"{length.total:,}") from err
    sync_folder(path.parent)


def append_line(path: Path, line: bytes) -> None:
    """Add a line, whole or not at all: it goes to the system in one write, and what an error leaves of it is cut off.

    Raises:
        DataError: the system does not take it.
    """
    end = path.stat().st_size if path.exists() else 0
    try:
        with open(path, "ab") as file:
            file.write(line + b"\n")
    except OSError as err:
        if path.exists():
            os.truncate(path, end)
        raise not_written(path, err, f"{len(line) + 1:,}") from err


def not_written(path: Path, err: OSError, needed: str) -> DataError:
    """The error for a file that the system did not take, for whatever reason; the old one must be there still."""
    return DataError(
        f"{path} could not be written ({shortage(err, path.parent, needed)}). It is as it was before; make room, or "
        "write elsewhere."
    )


def shortage(err: OSError, place: Path, needed: str) -> str:
    """What the system said, of which file if it is another one than expected, and how much room a folder has."""
    reason = str(err.strerror or err)
    if err.filename is not None and not str(err.filename).startswith(str(place)):
        reason += f": {os.fsdecode(err.filename)}"
    return f"{reason}; {needed} bytes needed, {shutil.disk_usage(place).free:,} free"


def system_error(err: BaseException | None) -> OSError | None:
    """The OSError that an exception is, or that a library hid behind one of its own (torch's RuntimeError)."""
    while err is not None and not isinstance(err, OSError):
        err = err.__cause__ or err.__context__ if isinstance(err, Exception) else None
    return err


def sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut, where the system lets a folder be opened (not on Windows)."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class _Length(io.BytesIO):
    """A file that keeps nothing."""

    total = 0

    def write(self, data: Any) -> int:
        count = memoryview(data).nbytes
        self.total += count
        return count
