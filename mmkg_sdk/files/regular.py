"""Files as they come in: regular ones, opened without waiting, of a size that memory takes."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ..errors import DataError

LIMIT = "MMKG_MAX_FILE_BYTES"
_BLOCK_BYTES = 1 << 20
_KINDS = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}


def most_bytes() -> int:
    """How many bytes of a file, unpacked, are read as a whole: $MMKG_MAX_FILE_BYTES, else 1 GiB.

    Raises:
        DataError: the variable holds no whole number above 0.
    """
    text = os.environ.get(LIMIT) or str(1 << 30)
    if not text.isascii() or not text.isdecimal() or not int(text):
        raise DataError(f"{LIMIT} is {text!r:.40}; expected a number of bytes, such as {1 << 30}.")
    return int(text)


@contextlib.contextmanager
def open_regular(path: Path) -> Iterator[BinaryIO]:
    """A file, opened to be read while the block runs. A pipe is not waited for, and nothing is taken from a device.

    Raises:
        OSError: it cannot be opened, or is no regular file.
        DataError: it is larger than `most_bytes`.
    """
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0))) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, f"{_KINDS.get(stat.S_IFMT(status.st_mode), 'a device')} and no file", str(path))
        check_length(path, status.st_size)
        yield file


def read_whole(file: BinaryIO, path: Path) -> bytes:
    """All that is left of an opened file, or of what unpacks it.

    Raises:
        DataError: that is more than `most_bytes`; no more than these were in memory.
    """
    content = io.BytesIO()
    while block := file.read(_BLOCK_BYTES):
        content.write(block)
        check_length(path, content.tell())
    return content.getvalue()


def check_length(path: Path, count: int) -> None:
    """Refuse a file of so many bytes, or that has shown so many so far.

    Raises:
        DataError: it is larger than `most_bytes`.
    """
    if count > most_bytes():
        raise DataError(
            f"{path} holds more than {most_bytes():,} bytes, which would fill the memory. If it is right, allow it: "
            f"{LIMIT}={max(count, 2 * most_bytes())}"
        )
