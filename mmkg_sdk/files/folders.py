"""Bundles, runs and data sets are folders that change as a whole: a reader finds the old one or the new one.

While it is written, the new folder lies beside its place as `.NAME.new`, and `.NAME.lock` says which process writes.
Then the two change places in one step where the system has one (Linux). Elsewhere it takes two renames, by way of
`.NAME.old`; a kill between them leaves nothing under the name, and both folders whole beside it. The next writer puts
the old one back. A reader does not, because it may be neither allowed nor alone; it says what to do (`kept_aside`).
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..errors import MmkgError
from .atomic import shortage, sync_folder
from .locks import LockedError, locked_file

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # linux/fcntl.h, linux/fs.h


@dataclass(frozen=True)
class FolderKind:
    """What is written as a folder.

    Attributes:
        name: in messages, like "bundle".
        error: what goes wrong is raised as this.
        advice: what to do when the place is taken by another of this kind.
        marker: the file by which one is known. A folder without it is never overwritten; None: no folder ever is.
    """

    name: str
    error: type[MmkgError]
    advice: str
    marker: str | None = None


@contextmanager
def new_folder(target: Path, kind: FolderKind, *, overwrite: bool = False) -> Iterator[Path]:
    """A temporary folder beside `target` that takes its place when the block ends without an error.

    One writer at a time. What a killed writer left behind is cleaned away by the next one.

    Args:
        target: absent, an empty folder or, with `overwrite`, one of this kind. A link to a folder stays, and what it
            leads to is replaced.

    Raises:
        kind.error: the target holds something that is not to be replaced, another process writes to it, or the
            system reports an error, in the block or here; the target is as it was.
    """
    target = _resolved(target)
    with folder_lock(target, kind):
        placed, written = False, 0
        try:
            new, old = _sibling(target, "new"), _sibling(target, "old")
            _clean(target, new, old)
            _check_target(target, kind, overwrite)
            new.mkdir()
            try:
                yield new
                _sync(new)
                _check_target(target, kind, overwrite)  # once more: not everyone who makes folders asks for our lock
                _put_in_place(new, target, old)
                placed = True
                sync_folder(target.parent)
            except OSError:
                written = _size(new)
                raise
            finally:
                _clean(target, new, old)
        except OSError as err:
            raise _failure(target, kind, err, placed, written) from err


@contextmanager
def folder_lock(target: Path, kind: FolderKind, *, wait: bool = False) -> Iterator[None]:
    """While the block runs, no other process or thread writes the folder by `new_folder` or holds its lock.

    The lock lies beside the folder and not in it, so it outlives an exchange of the folder.

    Args:
        wait: until the lock is free, instead of an error.

    Raises:
        kind.error: another one holds it, or there can be no lock here.
    """
    target = _resolved(target)
    if not target.name:
        raise kind.error(f"{target} has no name that a {kind.name} could take. Pass another folder.")
    with ExitStack() as stack:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked_file(_sibling(target, "lock"), wait=wait))
        except LockedError as err:
            found = f"{target} is in use by process {err.owner}"
            raise kind.error(f"{found}; wait for it, or pass another folder.") from err
        except OSError as err:
            raise _failure(target, kind, err, placed=False, written=0) from err
        yield


def kept_aside(target: Path) -> str:
    """What to tell who finds no folder there: " ..." if an exchange was interrupted, else nothing."""
    target = _resolved(target)
    old = _sibling(target, "old")
    if target.exists() or not old.is_dir():
        return ""
    return f" It was being replaced and {old} is its old state: if no process is at work, rename that to {target.name}."


def _resolved(target: Path) -> Path:
    return Path(os.path.realpath(os.path.expanduser(target)))


def _sibling(target: Path, kind: str) -> Path:
    name = f".{target.name}.{kind}"
    if len(os.fsencode(name)) > 255:  # what file systems take
        name = f".{hashlib.sha256(os.fsencode(target.name)).hexdigest()}.{kind}"
    return target.parent / name


def _clean(target: Path, new: Path, old: Path) -> None:
    """Finish what a writer began and did not end: put the old folder back if its successor never came."""
    shutil.rmtree(new, ignore_errors=True)
    if old.exists():
        if target.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.rename(target)


def _check_target(target: Path, kind: FolderKind, overwrite: bool) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise kind.error(f"{target} is a file; a {kind.name} is a folder. It is left alone; pass another path.")
    if not any(target.iterdir()):
        return
    if kind.marker is None:
        raise kind.error(f"{target} exists already and is not empty. {kind.advice}")
    if not (target / kind.marker).is_file():
        raise kind.error(f"{target} holds something that is no {kind.name}; it is left alone. Pass another folder.")
    if not overwrite:
        raise kind.error(f"{target} holds a {kind.name} already. {kind.advice}")


def _put_in_place(new: Path, target: Path, old: Path) -> None:
    """Afterwards `new` is at `target`; what was there is at `new` or `old`, to be removed."""
    if not target.exists():
        new.rename(target)
    elif not _exchange(new, target):
        target.rename(old)
        new.rename(target)


def _exchange(one: Path, two: Path) -> bool:
    """Let two folders change their names in one step; False where that cannot be done.

    Any refusal counts, not only those that mean "unknown" (ENOSYS, EINVAL, ENOTSUP, and EPERM in some containers): the
    renames that are tried instead meet the same obstacle if there is one, and report it.
    """
    if sys.platform != "linux":
        return False
    try:
        renameat2 = ctypes.CDLL(None).renameat2
    except (OSError, AttributeError):  # a libc before 2018
        return False
    sys.audit("os.rename", str(one), str(two), -1, -1)  # as every rename in Python announces itself
    status: int = renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(two), ctypes.c_uint(_RENAME_EXCHANGE))
    return status == 0


def _sync(folder: Path) -> None:
    """All that is in the folder reaches the disk before it gets its name."""
    for parent, _, names in os.walk(folder):
        for name in names:
            # Windows syncs only what is open for writing; elsewhere a copied file may be one that cannot be written.
            with open(os.path.join(parent, name), "r+b" if os.name == "nt" else "rb") as file:
                os.fsync(file.fileno())
        sync_folder(Path(parent))


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*"))


def _failure(target: Path, kind: FolderKind, err: OSError, placed: bool, written: int) -> MmkgError:
    place = next(parent for parent in target.parents if os.path.isdir(parent))
    found = shortage(err, place, f"more than {written:,}")
    if placed:
        return kind.error(
            f"{target} is the new {kind.name}, but the system did not confirm that its name is on the disk ({found}). "
            f"Check the disk, then the {kind.name}."
        )
    return kind.error(
        f"{target} could not be written ({found}). Nothing was changed; make room or pass another folder."
    )
