"""A lock file that one process holds, and that names it; the system frees it when the process ends, however it ends.

Own code and not the package `filelock`: it would be one more dependency of `import mmkg_sdk`, and its locks do not
say who holds them, which is what a person who waits wants to know.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, where msvcrt has its locks
    fcntl = None  # type: ignore[assignment]

_POLL_S = 0.1
# Windows bars others from reading the locked bytes, so locked is one far behind the process id.
_LOCKED_BYTE = 1 << 30
# Lock file -> who in this process holds it. With the process id, because a fork inherits the table and not the lock.
_held: dict[Path, tuple[int, int]] = {}


class LockedError(Exception):
    """Another process, or another thread of this one, holds the lock.

    Attributes:
        owner: its process id, or "?" when it has not been written yet.
    """

    def __init__(self, owner: str) -> None:
        super().__init__(f"in use by process {owner}")
        self.owner = owner


@contextmanager
def locked_file(path: Path, *, wait: bool = False, timeout_s: float | None = None) -> Iterator[None]:
    """Hold the lock while the block runs; the file is there only as long. A thread that holds it may take it again.

    Args:
        path: absolute, in a folder that exists and may be written to.
        wait: for the lock to become free: the system frees it when its holder dies.
        timeout_s: how long to wait; None is without an end.

    Raises:
        LockedError: someone else holds it, and `wait` is false or the time is over.
        OSError: the file cannot be made, or this file system has no locks.
    """
    me = (os.getpid(), threading.get_ident())
    if _held.get(path) == me:
        yield
        return
    end = 0.0 if not wait else math.inf if timeout_s is None else time.monotonic() + timeout_s
    descriptor = _acquire(path, end)
    try:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        _held[path] = me
        yield
    finally:
        _held.pop(path, None)
        _release(path, descriptor)


def _acquire(path: Path, end: float) -> int:
    """The opened and locked file; it is tried until the clock shows `end`, once at least."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o644)
        try:
            # The holder before us may have removed the file between our open and our lock; then another process can
            # lock a new one of the same name.
            if _try_lock(descriptor) and _is_at(descriptor, path):
                return descriptor
            owner = os.read(descriptor, 32).decode("ascii", "replace") or "?"
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        if time.monotonic() >= end:
            raise LockedError(owner)
        time.sleep(_POLL_S)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _try_lock(descriptor: int) -> bool:
    """False if another one has it."""
    if fcntl is not None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
    import msvcrt

    os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
    try:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    except PermissionError:
        return False
    finally:
        os.lseek(descriptor, 0, os.SEEK_SET)
    return True


def _release(path: Path, descriptor: int) -> None:
    """Remove the file while it is locked: later, it could be another one's."""
    if fcntl is None:
        # Windows removes no file that is open. Who has come since bars us from removing it, and will do so himself.
        os.close(descriptor)
    with suppress(OSError):  # a file that stays locks nothing
        path.unlink(missing_ok=True)
    if fcntl is not None:
        os.close(descriptor)
