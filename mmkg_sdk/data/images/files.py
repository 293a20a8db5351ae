"""Image files, opened with care."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import missing_package
from ...files.regular import open_regular

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True)
class UnreadableImage:
    """An image that was left out, and why."""

    entity: str
    path: Path
    reason: str


def read_image(path: Path) -> Image:
    """The first frame of an image as RGB, upright, transparency laid on white.

    Raises:
        ValueError: if the file is damaged, no regular file, of an unknown format, or too large to be a photograph.
        BackendError: if Pillow is missing.
    """
    try:
        from PIL import Image as images
        from PIL import ImageOps
    except ImportError as err:
        raise missing_package("pillow", "train", "reading images") from err
    try:
        with warnings.catch_warnings():
            # Pillow only warns about sizes up to twice its limit; here the limit is the limit.
            warnings.simplefilter("error", images.DecompressionBombWarning)
            with open_regular(path) as file, images.open(file) as opened:
                opened.load()
                image = ImageOps.exif_transpose(opened)
                if image.mode.startswith("I;16"):
                    image = image.point(lambda value: value / 256, "L")
                rgba = image.convert("RGBA")
                white = images.new("RGBA", rgba.size, (255, 255, 255, 255))
                return images.alpha_composite(white, rgba).convert("RGB")
    except Exception as err:  # Pillow's decoders raise many types for damaged files
        raise ValueError(str(err) or type(err).__name__) from err


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
            yield entity, read_image(path)
        except ValueError as err:
            unreadable.append(UnreadableImage(entity, path, str(err)))
