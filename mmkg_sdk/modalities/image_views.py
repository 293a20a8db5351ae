"""What a picture looks like, in thirteen vectors of whole numbers: as a whole, in its quarters, by outline and colour.

A border of one colour all around is cut off, and what is left resized to 32 x 32 pixels, whatever its shape. Then

* outline: the gradient (central differences of the grey values) of every pixel counts by its length for one of eight
  orientations, in cells of 4 x 4 pixels and of 8 x 8; of each block of cells, the root of every count's share (Dalal &
  Triggs 2005, RootSIFT), times 1,024, so that a faint drawing and a bold one are alike;
* colour: the mean red, green and blue of cells of 8 x 8 pixels, times 0.75, beside the outline's about a third.

The vectors: 1 of the whole picture (outline and colour), 4 of its quarters (outline in the small cells, and colour), 4
of the outline of its four rows of cells, 4 of the colour of its quarters.

All of it are whole numbers, or roots rounded to such, so that every machine gives the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image

Whole = NDArray[np.int64]

SIDE, ORIENTATIONS = 32, 8
SMALL, LARGE = 8, 4  # cells along a side
_BORDER_TOLERANCE = 24
# The largest number of a view.
MOST = 1024
# Added to the sum of a block's gradients: without it, noise on one colour would be an outline.
_FAINT = 500
# A row, or a column, of each of the two halves.
_HALVES = (0, 1)
# What each vector shows, in the order of `image_views`.
WHOLE, QUARTERS, OUTLINES, COLOURS = range(1), range(1, 5), range(5, 9), range(9, 13)
WIDTHS = (176, *[140] * 4, *[32] * 4, *[12] * 4)

Box = tuple[float, float, float, float]
_QUARTERS: tuple[Box, ...] = tuple((x / 2, y / 2, (x + 1) / 2, (y + 1) / 2) for y in _HALVES for x in _HALVES)
_ROWS: tuple[Box, ...] = tuple((0.0, row / LARGE, 1.0, (row + 1) / LARGE) for row in range(LARGE))
# Where in the picture without its border: left, top, right and bottom as shares of width and height.
PLACES: tuple[Box, ...] = ((0.0, 0.0, 1.0, 1.0), *_QUARTERS, *_ROWS, *_QUARTERS)


def image_views(image: Image) -> list[Whole]:
    """The thirteen vectors, int64, as wide as WIDTHS says.

    Args:
        image: in RGB.
    """
    pixels = _pixels(image)
    small = _outline_cells(pixels)
    large = small.reshape(LARGE, 2, LARGE, 2, ORIENTATIONS).sum(axis=(1, 3))
    cell = SIDE // LARGE
    colour = pixels.reshape(LARGE, cell, LARGE, cell, 3).sum(axis=(1, 3)) * 3 // (4 * cell * cell)
    outline = _shares(large)
    quarters = [(row, column) for row in _HALVES for column in _HALVES]
    colours = [_quarter(colour, *quarter).ravel() for quarter in quarters]
    return [
        np.concatenate([outline.ravel(), colour.ravel()]),
        *(
            np.concatenate([_shares(_quarter(small, *quarter)).ravel(), own])
            for quarter, own in zip(quarters, colours, strict=True)
        ),
        *outline.reshape(LARGE, -1),
        *colours,
    ]


def without_border(image: Image) -> Image:
    """An image in RGB without the border of one colour that it may have all around."""
    from PIL import Image as images
    from PIL import ImageChops

    corner = images.new("RGB", image.size, image.getpixel((0, 0)))
    red, green, blue = ImageChops.difference(image, corner).split()
    largest = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    box = largest.point([0] * (_BORDER_TOLERANCE + 1) + [255] * (255 - _BORDER_TOLERANCE)).getbbox()
    if box and box[0] > 0 and box[1] > 0 and box[2] < image.width and box[3] < image.height:
        return image.crop(box)
    return image


def _pixels(image: Image) -> Whole:
    """int64 [32, 32, 3], without a border of one colour."""
    from PIL import Image as images

    resized = without_border(image).resize((SIDE, SIDE), images.Resampling.BOX)
    return np.asarray(resized).astype(np.int64)


def _outline_cells(pixels: Whole) -> Whole:
    """Lengths of gradients by orientation, int64 [8, 8, 8]."""
    grey = pixels @ np.array([77, 150, 29]) >> 8
    across, down = np.zeros_like(grey), np.zeros_like(grey)
    across[:, 1:-1] = grey[:, 2:] - grey[:, :-2]
    down[1:-1] = grey[2:] - grey[:-2]
    length = np.rint(np.sqrt(across * across + down * down))
    # The bounds between orientations, 11.25 degrees and so on, are those of no two whole numbers: rounding decides
    # nothing.
    orientation = np.rint(np.arctan2(down, across) * (ORIENTATIONS / np.pi)).astype(np.int64) % ORIENTATIONS
    place = np.arange(SIDE) // (SIDE // SMALL)
    bins = (place[:, None] * SMALL + place) * ORIENTATIONS + orientation
    counts = np.bincount(bins.ravel(), length.ravel(), SMALL * SMALL * ORIENTATIONS)
    return counts.astype(np.int64).reshape(SMALL, SMALL, ORIENTATIONS)


def _quarter(cells: Whole, row: int, column: int) -> Whole:
    half = len(cells) // 2
    return cells[row * half : (row + 1) * half, column * half : (column + 1) * half]


def _shares(counts: Whole) -> Whole:
    """The roots of the shares of a block's counts, in 1,024ths."""
    faint = _FAINT * counts.size // (LARGE * LARGE * ORIENTATIONS)
    shares: Whole = np.rint(MOST * np.sqrt(counts / (counts.sum() + faint))).astype(np.int64)
    return shares
