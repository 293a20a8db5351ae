"""Flags drawn from a declarative description; a flag that needs arms, script or an animal is not there.

`flags.json` maps a country to its layers, painted in order on a sheet 60 units wide and 40 high (all flags
are brought to the proportion 3:2), x to the right and y downwards. A layer is `[shape, colour, numbers...]`:

    ["field", c]                          the whole sheet
    ["horizontal", [c, ...], [w, ...]]    stripes from top to bottom, with relative widths (equal if left out)
    ["vertical", [c, ...], [w, ...]]      stripes from hoist to fly
    ["cross", c, x, y, t]                 two bars of thickness t through the sheet, centred on (x, y)
    ["saltire", c, t]                     both diagonals, t thick
    ["triangle", c, x]                    at the hoist, its tip at (x, 20)
    ["rect", c, x0, y0, x1, y1]
    ["polygon", c, x, y, x, y, ...]
    ["line", c, t, x, y, x, y, ...]       joined strokes, t thick
    ["disc", c, x, y, r]
    ["ring", c, t, x, y, r]               outer radius r, t thick
    ["crescent", c, x, y, r, cx, cy, cr]  the disc (x, y, r) without the disc (cx, cy, cr)
    ["star", c, points, inner, turn, r, x, y, ...]  at every (x, y): outer radius r, inner radius inner * r,
                                          one point up and then turned clockwise by `turn` degrees
    ["inset", country, x0, y0, x1, y1]    another flag inside the box

Costa Rica and Peru have their civil flag, without the arms; Syria has the flag of 2025.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from ...errors import DataError, missing_package
from ...files.labels import Labels
from .canvas import Canvas

if TYPE_CHECKING:
    from PIL.Image import Image

WIDTH, HEIGHT = 96, 64
OVERSAMPLING = 4  # edges are smooth because a larger drawing is averaged


@cache
def flag_layers() -> dict[str, list[list[Any]]]:
    """Country -> layers, as they stand in flags.json."""
    text = resources.files(__package__).joinpath("flags.json").read_text(encoding="utf-8")
    layers: dict[str, list[list[Any]]] = json.loads(text)
    return layers


def flag_countries() -> tuple[str, ...]:
    """The countries that have a flag, sorted."""
    return tuple(sorted(flag_layers()))


def draw_flag(country: str, *, width: int = WIDTH, height: int = HEIGHT) -> Image:
    """The flag of a country as an RGB image of `width` x `height` pixels.

    Raises:
        DataError: if the country has no flag here, or a side is shorter than one pixel.
        BackendError: if Pillow is not installed.
    """
    try:
        from PIL.Image import Resampling
    except ImportError as err:
        raise missing_package("pillow", "train", "Drawing a flag") from err
    if width < 1 or height < 1:
        raise DataError(f"a flag of {width} x {height} pixels was asked for; each side needs at least one.")
    if country not in flag_layers():
        near = Labels(flag_countries(), kind="flag").near(country)
        hint = f"near: {', '.join(map(repr, near))}" if near else "flag_countries() lists them"
        raise DataError(f"no flag is drawn for {country!r}; {len(flag_layers())} countries have one, {hint}.")

    canvas = Canvas(width * OVERSAMPLING, height * OVERSAMPLING)
    for shape, *arguments in flag_layers()[country]:
        if shape == "inset":
            inner, *corners = arguments
            left, top, right, bottom = canvas.box(*corners)
            canvas.image.paste(draw_flag(inner, width=right - left, height=bottom - top), (left, top))
        else:
            getattr(canvas, shape)(*arguments)
    return canvas.image.resize((width, height), Resampling.BOX)
