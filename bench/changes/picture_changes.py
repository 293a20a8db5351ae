"""Worse pictures: noise, blur and JPEG, of stated strengths, the same pixels for the same seed."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from mmkg_sdk.files.regular import open_regular

if TYPE_CHECKING:
    from PIL.Image import Image

# A picture in RGB and a random generator -> the picture to be seen.
Change: TypeAlias = "Callable[[Image, np.random.Generator], Image]"


def noisy(image: Image, random: np.random.Generator, deviation: float) -> Image:
    """Gaussian noise on every colour value of 0 to 255."""
    from PIL import Image as images

    pixels = np.asarray(image, np.float64)
    noise = random.normal(0, deviation, pixels.shape)
    return images.fromarray(np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8))


def blurred(image: Image, share: float) -> Image:
    """A Gaussian blur; its deviation is a share of the shorter side."""
    from PIL import ImageFilter

    return image.filter(ImageFilter.GaussianBlur(share * min(image.size)))


def compressed(image: Image, quality: int) -> Image:
    """What is left after JPEG."""
    from PIL import Image as images

    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    with images.open(file) as opened:
        return opened.convert("RGB")


# What is done, its strength in words -> how, and whether by chance.
CHANGES: Mapping[str, Mapping[str, Change]] = {
    "Gaussian noise": {
        f"deviation {deviation} of 255": lambda image, random, deviation=deviation: noisy(image, random, deviation)  # type: ignore[misc]
        for deviation in (16, 32, 64)
    },
    "blur": {
        f"{percent} % of the shorter side": lambda image, random, percent=percent: blurred(image, percent / 100)  # type: ignore[misc]
        for percent in (2, 4, 8)
    },
    "JPEG": {
        f"quality {quality}": lambda image, random, quality=quality: compressed(image, quality)  # type: ignore[misc]
        for quality in (50, 20, 5)
    },
}
BY_CHANCE = ("Gaussian noise",)


def changed_file(path: Path, change: Change, random: np.random.Generator) -> Path | Image:
    """A picture of a file changed; the file itself where it is not in RGB or cannot be read, for others to judge."""
    from PIL import Image as images

    try:
        with open_regular(path) as file, images.open(file) as opened:
            opened.load()
            return change(opened.copy(), random) if opened.mode == "RGB" else path
    except Exception:  # Pillow's decoders raise many types for damaged files
        return path


def changed_rgb(path: Path, change: Change, random: np.random.Generator) -> Path | Image:
    """A picture of a file as RGB, without its transparency, changed; the file itself where it cannot be read."""
    from PIL import Image as images

    try:
        with open_regular(path) as file, images.open(file) as opened:
            return change(opened.convert("RGB"), random)
    except Exception:  # Pillow's decoders raise many types for damaged files
        return path
