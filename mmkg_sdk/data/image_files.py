"""Image files of entities: found by name, opened with care."""

from __future__ import annotations

import unicodedata
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DataError, missing_package
from ..files.labels import Labels
from ..files.listing import list_files, list_folders
from ..files.regular import open_regular

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True)
class UnreadableImage:
    """An image that was left out, and why."""

    entity: str
    path: Path
    reason: str


def find_images(folder: Path, entities: Labels) -> dict[str, list[Path]]:
    """Entity label -> its images, in entity order; entities without an image are left out.

    An image belongs to an entity by its name without the suffix, or by the name of the sub-folder that it
    lies in: the label first, else the decimal entity id. Files of no entity are counted in a warning.

    Raises:
        DataError: if the folder is missing or holds no image of any entity.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; images were to be there, as <label>.png or <label>/*.png.")
    # Some file systems decompose accents in names.
    rows = {unicodedata.normalize("NFC", label): row for row, label in reversed(list(enumerate(entities)))}
    found: dict[int, list[Path]] = {}
    strangers: list[Path] = []
    named = [(path.name, list_files(path)) for path in list_folders(folder)]
    named += [(path.stem, [path]) for path in list_files(folder)]
    for given, files in named:
        images = [path for path in files if path.suffix.lower() in SUFFIXES]
        if not images:
            continue
        name = unicodedata.normalize("NFC", given)
        row = rows.get(name)
        if row is None and name.isascii() and name.isdecimal() and len(name) < 10 and int(name) < len(entities):
            row = int(name)
        if row is None:
            strangers.extend(images)
        else:
            found.setdefault(row, []).extend(images)
    if strangers:
        warnings.warn(
            f"{folder}: {len(strangers)} images belong to no entity and are left out, the first is "
            f"{strangers[0].name}.",
            stacklevel=2,
        )
    if not found:
        raise DataError(
            f"{folder} has no image of any of the {len(entities)} entities. Name files <label>.png or <id>.png."
        )
    return {entities[row]: found[row] for row in sorted(found)}


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


def readable_images(images: Mapping[str, list[Path]], unreadable: list[UnreadableImage]) -> Iterator[tuple[str, Image]]:
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
