"""Image files, opened with care."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import missing_package
from ...modalities.pictures import rgb_picture

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True)
class UnreadableImage:
    """An image that was left out, and why."""

    entity: str
    path: Path
    reason: str


def readable_images(
    images: Mapping[str, Sequence[Path]], unreadable: list[UnreadableImage]
) -> Iterator[tuple[str, Image]]:
    """Each entity with each of its images, one in memory at a time; a bar on stderr shows the progress.

    An image that cannot be read is added to `unreadable` instead.
    """
    try:
        from tqdm import tqdm
    except ImportError as err:
        raise missing_package("tqdm", "train", "tokenizing images") from err
    pairs = [(entity, path) for entity, paths in images.items() for path in paths]
    for entity, path in tqdm(pairs, desc="images", unit="image", leave=False):
        try:
            yield entity, rgb_picture(path)
        except ValueError as err:
            unreadable.append(UnreadableImage(entity, path, str(err)))
