"""Folders that nobody but the user may write to: what lies in one is believed."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ..errors import DataError


def make_private(folder: Path, kept: str, danger: str) -> None:
    """Make a folder that nobody else may write to or put another in place of, or see that it is one.

    Args:
        kept: what is kept there, for messages.
        danger: what others could do there, for messages.

    Raises:
        OSError: it cannot be made or looked at.
        DataError: it is no folder, another user's, or others may write there.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    found, parent = folder.lstat(), folder.parent.stat()
    if not stat.S_ISDIR(found.st_mode):
        raise DataError(f"{folder}, where {kept} are kept, is no folder of its own. Remove what is there.")
    if os.name != "posix":
        return
    if found.st_uid != os.geteuid():
        raise DataError(
            f"{folder}, where {kept} are kept, belongs to user {found.st_uid}, and this is user {os.geteuid()}. "
            "Name another cache by $MMKG_CACHE."
        )
    if found.st_mode & 0o077:
        raise DataError(
            f"{folder}, where {kept} are kept, is open to others (mode {stat.S_IMODE(found.st_mode):04o}), who could "
            f"{danger}. If nobody did, run: chmod 700 {folder}. Else remove it."
        )
    if parent.st_mode & 0o022 and not parent.st_mode & stat.S_ISVTX:
        raise DataError(
            f"{folder.parent} is open to others (mode {stat.S_IMODE(parent.st_mode):04o}), who could put another "
            f"folder of {kept} there. Run: chmod go-w {folder.parent}, or name another cache by $MMKG_CACHE."
        )
