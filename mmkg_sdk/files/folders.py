"""Write a folder so that a reader finds the old one, the new one or none, whatever happens in between."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import ExportError


@contextmanager
def new_folder(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """A temporary folder beside `target` that takes its place when the block ends without an error.

    One writer at a time: a lock file beside the target holds the writer's process id. What a killed writer left
    behind is cleaned away by the next one.

    Raises:
        ExportError: the target exists and `overwrite` is false, is no folder, or another process writes to it.
    """
    # A link to a folder stays; what it leads to is replaced.
    target = Path(os.path.realpath(os.path.expanduser(target)))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _lock(target):
            new, old = _sibling(target, "new"), _sibling(target, "old")
            _clean(target, new, old)
            _check_target(target, overwrite)
            new.mkdir()
            try:
                yield new
                _sync(new)
                if target.exists():
                    target.rename(old)
                new.rename(target)
                _sync_folder(target.parent)
            finally:
                _clean(target, new, old)
    except OSError as err:
        free = f", {shutil.disk_usage(target.parent).free / 2**20:,.0f} MiB free" if target.parent.exists() else ""
        raise ExportError(
            f"{target} could not be written ({err.strerror or err}{free}). "
            "Nothing was changed; make room or pass another folder."
        ) from err


@contextmanager
def _lock(target: Path) -> Iterator[None]:
    import fcntl

    path = _sibling(target, "lock")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The writer before us may have removed the file between our open and our lock; then another process can
            # lock a new one of the same name.
            if not path.exists() or not os.path.samestat(os.fstat(descriptor), path.stat()):
                raise BlockingIOError
        except BlockingIOError as err:
            owner = os.read(descriptor, 32).decode("ascii", "replace") or "?"
            raise ExportError(f"{target} is in use by process {owner}; wait for it, or pass another folder.") from err
        try:
            os.ftruncate(descriptor, 0)
            os.write(descriptor, str(os.getpid()).encode())
            yield
        finally:
            path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


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


def _check_target(target: Path, overwrite: bool) -> None:
    if target.exists() and not target.is_dir():
        raise ExportError(f"{target} is a file; a bundle is a folder. Pass another path.")
    if target.exists() and any(target.iterdir()):
        if not overwrite:
            raise ExportError(f"{target} exists. Pass --overwrite to replace it, or another folder.")
        if not (target / "bundle.json").exists():
            raise ExportError(f"{target} holds something that is no bundle; it is left alone. Pass another folder.")


def _sync(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            os.fsync(file.fileno())
    _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
