"""Where the SDK keeps what it fetched or made, and can fetch or make again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder(cache: Path | None = None) -> Path:
    """The cache: the argument, else $MMKG_CACHE, else $XDG_CACHE_HOME/mmkg_sdk, else ~/.cache/mmkg_sdk."""
    if cache is not None:
        return Path(cache)
    if os.environ.get("MMKG_CACHE"):
        return Path(os.environ["MMKG_CACHE"])
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "mmkg_sdk"
