"""A picture as somebody has it, a file or in memory, as RGB: upright, its first frame, transparency laid on white."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import missing_package
from ..files.regular import open_regular

if TYPE_CHECKING:
    from PIL.Image import Image

# A file by its name, the bytes of one, uint8 [height, width] or [height, width, 3 or 4], or an image of Pillow.
Picture: TypeAlias = "str | Path | bytes | NDArray[Any] | Image"


def rgb_picture(picture: Picture) -> Image:
    """The picture as an image of Pillow in RGB.

    Raises:
        ValueError: damaged, no regular file, of an unknown format, too large to be a photograph, an array of another
            dtype or shape, or no picture at all.
        BackendError: Pillow is missing.
    """
    try:
        from PIL import Image as images
    except ImportError as err:
        raise missing_package("pillow", "text", "reading images") from err
    try:
        with warnings.catch_warnings():
            # Pillow only warns about sizes up to twice its limit; here the limit is the limit.
            warnings.simplefilter("error", images.DecompressionBombWarning)
            if isinstance(picture, str | Path):
                with open_regular(Path(picture)) as file, images.open(file) as opened:
                    return _upright(opened)
            if isinstance(picture, bytes | bytearray | memoryview):
                with images.open(io.BytesIO(picture)) as opened:
                    return _upright(opened)
        if isinstance(picture, images.Image):
            most = images.MAX_IMAGE_PIXELS
            if not 0 < picture.width * picture.height <= (most or picture.width * picture.height):
                raise ValueError(f"an image of {picture.width} x {picture.height} pixels")
            return _upright(picture)
        return _upright(images.fromarray(_checked(picture)))
    except Exception as err:  # Pillow's decoders raise many types for damaged files
        raise ValueError(str(err) or type(err).__name__) from err


def _checked(pixels: Any) -> NDArray[np.uint8]:
    if not isinstance(pixels, np.ndarray):
        raise ValueError(f"{type(pixels).__name__} is no picture; expected a path, bytes, an array, or one of Pillow")
    shape = pixels.shape
    if pixels.dtype != np.uint8 or not (len(shape) == 2 or (len(shape) == 3 and shape[2] in (3, 4))) or 0 in shape:
        raise ValueError(
            f"an array {pixels.dtype} {list(shape)}; expected uint8 [height, width] or [height, width, 3 or 4]"
        )
    return np.ascontiguousarray(pixels)


def _upright(image: Image) -> Image:
    from PIL import Image as images
    from PIL import ImageOps

    image.load()
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):
        image = image.point(lambda value: value / 256, "L")
    rgba = image.convert("RGBA")
    white = images.new("RGBA", rgba.size, (255, 255, 255, 255))
    return images.alpha_composite(white, rgba).convert("RGB")
