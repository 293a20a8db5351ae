"""Images to CLIP's pixels with Pillow alone, as the CLIPImageProcessor of transformers makes them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, missing_package
from ..files.regular import open_regular

if TYPE_CHECKING:
    from PIL.Image import Image

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_DEVIATION = (0.26862954, 0.26130258, 0.27577711)
SQUARE = 224
# float32 [3, 256]: what each colour value of each channel becomes.
_SHARES = (np.arange(256, dtype=np.float64) * (1 / 255)).astype(np.float32)
_LEVELS = (_SHARES - np.array(CLIP_MEAN, np.float32)[:, None]) / np.array(CLIP_DEVIATION, np.float32)[:, None]

# A strip resized as a whole could take gigabytes, of which a square is kept.
_LONGEST_RATIO = 64


class PixelTable(Protocol):
    """Images by row: a numpy array, a memory map, or something that reads files when asked."""

    def __getitem__(self, rows: NDArray[np.int64], /) -> NDArray[Any]:
        """float [rows, ..., 3, size, size] for int64 [rows], ready for the vision tower."""


def clip_pixels(image: Path | Image | None, size: int, *, squash: bool = False) -> NDArray[np.float32]:
    """The pixels of an image for a CLIP vision tower; all zero without an image.

    The shortest edge is resized to `size` (bicubic), the centre cut out, and each channel c of [0, 1] becomes
    (c - mean) / deviation.

    Images become RGB first, as MKGformer does it: the first frame, transparency dropped, 16-bit values cut at 255, not
    turned by EXIF data. With `squash` it is done as in MIMIC: resized to 224 x 224 without keeping the aspect ratio
    (Lanczos), then as above without a conversion. So images of other than three channels (grey, palette, transparent,
    CMYK) are no images to MIMIC; convert them to RGB if it shall see them.

    Args:
        image: a file, an image of Pillow, or None.
        size: of the result, in pixels.

    Returns:
        float32 [3, size, size]. Zeros for None, and with a UserWarning that names the file for what cannot be read:
        missing, damaged, no regular file, larger than Pillow's limit against decompression bombs (179 million pixels)
        or than `most_bytes`, or, with `squash`, of other than three channels.

    Raises:
        BackendError: if Pillow is missing.
    """
    colours = None if image is None else clip_colours(image, size, squash=squash)
    return np.zeros((3, size, size), dtype=np.float32) if colours is None else normalised(colours)


def clip_colours(image: Path | Image, size: int, *, squash: bool = False) -> NDArray[np.uint8] | None:
    """What `clip_pixels` normalises, uint8 [3, size, size]: a quarter of the size, and nothing is lost.

    Returns:
        None, with a UserWarning, where `clip_pixels` gives zeros: black has other values.
    """
    try:
        return _read(image, size, squash)
    except _Unreadable as err:
        warnings.warn(f"{_name(image)} is read as zeros: {err}", stacklevel=3)
        return None


def read_colours(image: Path | Image, size: int, *, squash: bool = False) -> NDArray[np.uint8]:
    """Like `clip_colours`, for callers that want an image or an error.

    Raises:
        DataError: the image cannot be read; the message names the file and the reason.
    """
    try:
        return _read(image, size, squash)
    except _Unreadable as err:
        raise DataError(f"{_name(image)} cannot be read: {err}") from err


def normalised(colours: NDArray[np.uint8]) -> NDArray[np.float32]:
    """uint8 [..., 3, height, width] -> float32 of the same shape; the order of roundings is that of transformers."""
    values = np.empty(colours.shape, np.float32)
    for channel in range(3):
        values[..., channel, :, :] = _LEVELS[channel][colours[..., channel, :, :]]
    return values


class _Unreadable(Exception):
    """Why an image cannot be read."""


def _read(image: Path | Image, size: int, squash: bool) -> NDArray[np.uint8]:
    try:
        from PIL import Image as images
    except ImportError as err:
        raise missing_package("pillow", "text", "reading images") from err
    try:
        if isinstance(image, images.Image):
            colours = _squashed(image, images) if squash else image.convert("RGB")
        else:
            with open_regular(image) as file, images.open(file) as opened:
                colours = _squashed(opened, images) if squash else opened.convert("RGB")
        return np.ascontiguousarray(np.asarray(_centre(colours, size, images)).transpose(2, 0, 1))
    except Exception as err:  # Pillow's decoders raise many types for damaged files
        raise _Unreadable(str(err)[:300] or type(err).__name__) from err


def _name(image: Path | Image) -> str:
    return str(image) if isinstance(image, Path) else getattr(image, "filename", "") or "an image in memory"


def _squashed(image: Image, images: Any) -> Image:
    """The image as a square; its three channels are taken for red, green and blue, whatever they are."""
    if len(image.getbands()) != 3:
        raise ValueError(f"mode {image.mode}, MIMIC sees images of three channels only; convert it to RGB.")
    square = image.resize((SQUARE, SQUARE), images.Resampling.LANCZOS)
    result: Image = images.fromarray(np.asarray(square))
    return result


def _centre(image: Image, size: int, images: Any) -> Image:
    """The middle of an image whose shortest edge became `size`."""
    short, long = min(image.size), max(image.size)
    resized = int(size * long / short)
    if long > _LONGEST_RATIO * short:
        # The middle alone. The same apart from rounding, between passes that Pillow may do in another order.
        offset = (resized - size) // 2 * long / resized
        start, end = offset, offset + size * long / resized
        box = (start, 0, end, short) if image.width == long else (0, start, short, end)
        return image.resize((size, size), images.Resampling.BICUBIC, box=box)
    width, height = (size, resized) if image.width == short else (resized, size)
    left, top = (width - size) // 2, (height - size) // 2
    return image.resize((width, height), images.Resampling.BICUBIC).crop((left, top, left + size, top + size))
