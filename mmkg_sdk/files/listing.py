"""What lies in a folder of data, without what systems leave there and without what is no file.

Left out are hidden entries (`.DS_Store`, macOS' `._0.jpg` beside `0.jpg`), `Thumbs.db`, `desktop.ini` and `__MACOSX`;
and pipes, sockets and devices, for whose content a reader would wait.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterator
from pathlib import Path

_STRAYS = {"thumbs.db", "desktop.ini", "__macosx"}


def list_files(folder: Path) -> list[Path]:
    """The regular files of a folder by name."""
    with os.scandir(folder) as entries:
        return sorted(Path(entry.path) for entry in entries if not _is_stray(entry.name) and entry.is_file())


def list_folders(folder: Path) -> list[Path]:
    """The folders in a folder by name."""
    with os.scandir(folder) as entries:
        return sorted(Path(entry.path) for entry in entries if not _is_stray(entry.name) and entry.is_dir())


def walk_files(folder: Path, *, without: Container[str] = ()) -> Iterator[Path]:
    """The regular files of a folder and of those below it.

    Args:
        without: names of folders that are left out.
    """
    for place, folders, _ in os.walk(folder):
        folders[:] = sorted(name for name in folders if not _is_stray(name) and name not in without)
        yield from list_files(Path(place))


def _is_stray(name: str) -> bool:
    return name.startswith(".") or name.lower() in _STRAYS
