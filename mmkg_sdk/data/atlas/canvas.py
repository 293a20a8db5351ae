"""A sheet to paint flags on: one method for each shape that flags.json may name."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

SHEET = (60.0, 40.0)  # width and height of every flag, in the units of flags.json

Point = tuple[float, float]


class Canvas:
    """An RGB image of `width` x `height` pixels, painted in sheet units.

    The docstring of flags.py says what the numbers of each shape mean.
    """

    def __init__(self, width: int, height: int) -> None:
        from PIL import Image, ImageDraw

        self.image: Image.Image = Image.new("RGB", (width, height))
        self._draw = ImageDraw.Draw(self.image)
        self._scale = (width / SHEET[0], height / SHEET[1])

    def field(self, colour: str) -> None:
        self.rect(colour, 0, 0, *SHEET)

    def rect(self, colour: str, x0: float, y0: float, x1: float, y1: float) -> None:
        left, top, right, bottom = self.box(x0, y0, x1, y1)
        if left < right and top < bottom:  # Pillow paints the last row and column too
            self._draw.rectangle((left, top, right - 1, bottom - 1), fill=colour)

    def horizontal(self, colours: list[str], widths: list[float] | None = None) -> None:
        for colour, start, end in _stripes(colours, widths, SHEET[1]):
            self.rect(colour, 0, start, SHEET[0], end)

    def vertical(self, colours: list[str], widths: list[float] | None = None) -> None:
        for colour, start, end in _stripes(colours, widths, SHEET[0]):
            self.rect(colour, start, 0, end, SHEET[1])

    def cross(self, colour: str, x: float, y: float, thickness: float) -> None:
        half = thickness / 2
        self.rect(colour, x - half, 0, x + half, SHEET[1])
        self.rect(colour, 0, y - half, SHEET[0], y + half)

    def saltire(self, colour: str, thickness: float) -> None:
        width, height = SHEET
        # Longer than the diagonals by a tenth at each end, so that the sheet itself cuts the bars off.
        self.line(colour, thickness, -0.1 * width, -0.1 * height, 1.1 * width, 1.1 * height)
        self.line(colour, thickness, -0.1 * width, 1.1 * height, 1.1 * width, -0.1 * height)

    def triangle(self, colour: str, tip: float) -> None:
        self._fill(colour, [(0, 0), (tip, SHEET[1] / 2), (0, SHEET[1])])

    def polygon(self, colour: str, *coordinates: float) -> None:
        self._fill(colour, _points(coordinates))

    def line(self, colour: str, thickness: float, *coordinates: float) -> None:
        points = _points(coordinates)
        for (x0, y0), (x1, y1) in pairwise(points):
            length = math.hypot(x1 - x0, y1 - y0)
            dx, dy = thickness / 2 * (y0 - y1) / length, thickness / 2 * (x1 - x0) / length
            left, right = [(x0 + dx, y0 + dy), (x1 + dx, y1 + dy)], [(x1 - dx, y1 - dy), (x0 - dx, y0 - dy)]
            self._fill(colour, left + right)

    def disc(self, colour: str, x: float, y: float, radius: float) -> None:
        self._fill(colour, _circle(x, y, radius))

    def ring(self, colour: str, thickness: float, x: float, y: float, radius: float) -> None:
        self._cut(colour, _circle(x, y, radius), _circle(x, y, radius - thickness))

    def crescent(self, colour: str, x: float, y: float, radius: float, cx: float, cy: float, cut: float) -> None:
        self._cut(colour, _circle(x, y, radius), _circle(cx, cy, cut))

    def star(self, colour: str, points: int, inner: float, turn: float, radius: float, *coordinates: float) -> None:
        for x, y in _points(coordinates):
            corners = []
            for corner in range(2 * points):
                angle = math.radians(turn) + math.pi * corner / points
                reach = radius * (inner if corner % 2 else 1.0)
                corners.append((x + reach * math.sin(angle), y - reach * math.cos(angle)))
            self._fill(colour, corners)

    def box(self, x0: float, y0: float, x1: float, y1: float) -> tuple[int, int, int, int]:
        """Sheet units -> pixels: left, top, and the first column and row outside at right and bottom."""
        horizontal, vertical = self._scale
        return round(x0 * horizontal), round(y0 * vertical), round(x1 * horizontal), round(y1 * vertical)

    def _pixels(self, points: Sequence[Point]) -> list[Point]:
        """Sheet units -> Pillow's coordinates, in which whole numbers are the centres of pixels."""
        return [(x * self._scale[0] - 0.5, y * self._scale[1] - 0.5) for x, y in points]

    def _fill(self, colour: str, points: Sequence[Point]) -> None:
        self._draw.polygon(self._pixels(points), fill=colour)

    def _cut(self, colour: str, outline: list[Point], hole: list[Point]) -> None:
        """Fills `outline` except `hole`, through which the layers below stay visible."""
        from PIL import Image, ImageDraw

        mask = Image.new("L", self.image.size)
        draw = ImageDraw.Draw(mask)
        draw.polygon(self._pixels(outline), fill=255)
        draw.polygon(self._pixels(hole), fill=0)
        self.image.paste(colour, mask=mask)


def _stripes(colours: list[str], widths: list[float] | None, extent: float) -> list[tuple[str, float, float]]:
    """(colour, start, end) of stripes that share `extent` in the proportion `widths`."""
    widths = widths or [1.0] * len(colours)
    unit = extent / sum(widths)
    edges = [unit * sum(widths[:position]) for position in range(len(widths) + 1)]
    return list(zip(colours, edges[:-1], edges[1:], strict=True))


def _points(coordinates: Sequence[float]) -> list[Point]:
    return list(zip(coordinates[::2], coordinates[1::2], strict=True))


def _circle(x: float, y: float, radius: float, corners: int = 90) -> list[Point]:
    """A circle as a polygon: unlike Pillow's ellipses, it may have its centre between two pixels."""
    angles = [2 * math.pi * corner / corners for corner in range(corners)]
    return [(x + radius * math.cos(angle), y + radius * math.sin(angle)) for angle in angles]
