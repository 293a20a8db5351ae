"""What the folder of a data set is to `files.folders`, and where the SDK keeps what it fetched or made."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import DataError
from ..files.folders import FolderKind

# It has no file that every one has and nothing else has, so none is ever overwritten.
DATA_SET = FolderKind("data set", DataError, "Name a new folder, or remove this one first.")


def cache_folder(cache: Path | None = None) -> Path:
    """The cache: the argument, else $MMKG_CACHE, else $XDG_CACHE_HOME/mmkg_sdk, else ~/.cache/mmkg_sdk."""
    if cache is not None:
        return Path(cache)
    if os.environ.get("MMKG_CACHE"):
        return Path(os.environ["MMKG_CACHE"])
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "mmkg_sdk"
