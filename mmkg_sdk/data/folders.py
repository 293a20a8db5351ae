"""Folders that appear complete or not at all, and the place where the SDK keeps what it fetched or made."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ..errors import DataError


def cache_folder(cache: Path | None = None) -> Path:
    """The cache: the argument, else $MMKG_CACHE, else $XDG_CACHE_HOME/mmkg_sdk, else ~/.cache/mmkg_sdk."""
    if cache is not None:
        return Path(cache)
    if os.environ.get("MMKG_CACHE"):
        return Path(os.environ["MMKG_CACHE"])
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "mmkg_sdk"


@contextlib.contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A temporary neighbour to write into; named `folder` when the block ends well, removed otherwise.

    Raises:
        DataError: if `folder` exists and is not an empty folder, before or after the block, or cannot be
            made.
    """
    folder = Path(os.path.abspath(folder))
    _refuse_content(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name[:100]}.", suffix=".partial", dir=folder.parent))
    except OSError as err:
        raise DataError(f"{folder} cannot be made: {err}. Name a folder where you may write.") from err
    try:
        yield temporary
        # mkdtemp makes folders for the owner alone; the finished one has the usual rights.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o777 & ~umask)
        try:
            if folder.is_dir():
                folder.rmdir()
            temporary.rename(folder)
        except OSError as err:  # someone else has put something there meanwhile
            raise DataError(f"{folder} cannot be put in place: {err}. Name a new folder.") from err
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _refuse_content(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder} exists already. Name a new folder, or remove this one first.")
