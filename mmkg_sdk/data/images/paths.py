"""Images are named by paths, and a text is one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

AnyImage = TypeVar("AnyImage")


def as_path(image: str | Path | AnyImage) -> Path | AnyImage:
    """An image that was named by a text as its path; all else as it is."""
    return Path(image) if isinstance(image, str) else image


def as_paths(images: Sequence[str | Path]) -> tuple[Path, ...]:
    """Images as paths. What is no list or tuple stays as it is: who reads it says what is wrong."""
    return tuple(map(as_path, images)) if isinstance(images, list | tuple) else cast(Any, images)
