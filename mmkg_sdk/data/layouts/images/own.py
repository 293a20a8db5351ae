"""Images of our own layouts: a relative path in the file, and copies in `images/` when a data set is written."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from ....errors import DataError


def own_image(folder: Path, text: str, place: str) -> Path | None:
    """The image that a line of a data file names; an empty text is no image.

    Args:
        text: path relative to the data set's folder, with `/` between its parts.
        place: file and line, for messages.

    Raises:
        DataError: if the path is absolute, leaves the folder, or names no file.
    """
    if not text:
        return None
    parts = PurePosixPath(text).parts
    # A backslash or a drive letter would mean something on one system only.
    if text.startswith("/") or ".." in parts or re.search(r"\\|\0|^[A-Za-z]:", text):
        raise DataError(
            f"{place}: image {text[:80]!r} is no path inside the data set's folder. Give a relative path such as "
            "images/name.png."
        )
    path = folder / text
    try:
        found = path.is_file()
    except OSError:  # a name that is too long for the file system
        found = False
    if not found:
        raise DataError(f"{place}: image {text[:80]!r} is not in {folder}. Add the file, or leave the field empty.")
    return path


def copy_images(images: Iterable[Path | None], folder: Path) -> dict[Path, str]:
    """Copy each distinct image into `folder`/images; what `own_image` reads it by.

    Raises:
        DataError: if an image cannot be read or written.
    """
    names: dict[Path, str] = {}
    for image in images:
        if image is None or image in names:
            continue
        suffix = image.suffix if re.fullmatch(r"\.[0-9A-Za-z]{1,10}", image.suffix) else ""
        names[image] = f"images/{len(names)}{suffix}"
        try:
            (folder / "images").mkdir(exist_ok=True)
            shutil.copyfile(image, folder / names[image])
        except OSError as err:
            raise DataError(f"image {image} cannot be copied: {err}.") from err
    return names
