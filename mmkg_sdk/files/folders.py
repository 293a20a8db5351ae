"""Write a folder so that a reader finds the old one, the new one or none, whatever happens in between."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ..errors import MmkgError
from .atomic import sync_folder

# Linux's renameat2: the folder that paths begin in, and the wish that two names change places.
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
# Where a system or a file system cannot.
_CANNOT_EXCHANGE = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
# Windows refuses to read what is locked, so what is locked there lies behind the writer's process id.
_LOCKED_BYTE = 1 << 30


@dataclass(frozen=True)
class FolderKind:
    """What a folder holds.

    Attributes:
        name: "bundle", "run".
        marker: the file that says so.
        error: what is raised.
        advice: what to do where one stands already.
    """

    name: str
    marker: str
    error: type[MmkgError]
    advice: str = "Pass --overwrite to replace it, or another folder."


@contextmanager
def new_folder(target: Path, kind: FolderKind, *, overwrite: bool) -> Iterator[Path]:
    """A temporary folder beside `target` that takes its place when the block ends without an error.

    One writer at a time: a lock file beside the target holds the writer's process id. What a killed writer left
    behind is cleaned away by the next one. On Linux the old folder and the new one change places in one step; where
    that cannot be, a kill between two renames leaves the old one as `.NAME.old`, and the next writer puts it back.

    Raises:
        kind.error: the target exists and `overwrite` is false, is not of the kind, or another process writes to it; or
            something could not be written.
    """
    # A link to a folder stays; what it leads to is replaced.
    target = Path(os.path.realpath(os.path.expanduser(target)))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _lock(target, kind):
            new, old = _sibling(target, "new"), _sibling(target, "old")
            _clean(target, new, old)
            _check_target(target, kind, overwrite)
            new.mkdir()
            try:
                yield new
                _sync(new)
                if not (target.exists() and _exchange(new, target)):
                    if target.exists():
                        target.rename(old)
                    new.rename(target)
                sync_folder(target.parent)
            finally:
                _clean(target, new, old)
    except OSError as err:
        free = f", {shutil.disk_usage(target.parent).free / 2**20:,.0f} MiB free" if target.parent.exists() else ""
        raise kind.error(
            f"{target} could not be written ({err.strerror or err}{free}). "
            "Nothing was changed; make room or pass another folder."
        ) from err


@contextmanager
def _lock(target: Path, kind: FolderKind) -> Iterator[None]:
    path = _sibling(target, "lock")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            _lock_file(descriptor)
            # The writer before us may have removed the file between our open and our lock; then another process can
            # lock a new one of the same name.
            if not path.exists() or not os.path.samestat(os.fstat(descriptor), path.stat()):
                raise BlockingIOError
        except BlockingIOError as err:
            owner = os.read(descriptor, 32).decode("ascii", "replace") or "?"
            raise kind.error(f"{target} is in use by process {owner}; wait for it, or pass another folder.") from err
        try:
            os.ftruncate(descriptor, 0)
            os.write(descriptor, str(os.getpid()).encode())
            yield
        finally:
            with suppress(PermissionError):  # Windows does not remove what is open; the next writer takes it over
                path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _lock_file(descriptor: int) -> None:
    """Lock an open file until it is closed.

    Raises:
        BlockingIOError: somebody else has locked it.
    """
    if sys.platform == "win32":
        import msvcrt

        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError as err:
            raise BlockingIOError(*err.args) from err
        finally:
            os.lseek(descriptor, 0, os.SEEK_SET)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _exchange(new: Path, target: Path) -> bool:
    """Let two folders change places in one step; False where that cannot be."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if sys.platform == "linux" else None
    if renameat2 is None:
        return False
    sys.audit("os.rename", str(new), str(target), -1, -1)  # what a rename by Python says to whoever listens
    if renameat2(_AT_FDCWD, os.fsencode(new), _AT_FDCWD, os.fsencode(target), _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in _CANNOT_EXCHANGE:
        return False
    raise OSError(code, os.strerror(code), str(target))


def _sibling(target: Path, kind: str) -> Path:
    name = f".{target.name}.{kind}"
    if len(os.fsencode(name)) > 255:  # what file systems take
        name = f".{hashlib.sha256(os.fsencode(target.name)).hexdigest()}.{kind}"
    return target.with_name(name)


def _clean(target: Path, new: Path, old: Path) -> None:
    """Finish what a writer began and did not end: put the old folder back if its successor never came."""
    shutil.rmtree(new, ignore_errors=True)
    if old.exists():
        if target.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.rename(target)


def _check_target(target: Path, kind: FolderKind, overwrite: bool) -> None:
    if target.exists() and not target.is_dir():
        raise kind.error(f"{target} is a file; a {kind.name} is a folder. Pass another path.")
    if target.exists() and any(target.iterdir()):
        if not (target / kind.marker).exists():
            raise kind.error(f"{target} holds something that is no {kind.name}; it is left alone. Pass another folder.")
        if not overwrite:
            raise kind.error(f"{target} exists. {kind.advice}")


def _sync(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        with path.open("r+b") as file:  # Windows flushes only what is open for writing
            os.fsync(file.fileno())
    sync_folder(folder)
