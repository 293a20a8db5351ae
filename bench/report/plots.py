"""Plot: lines on logarithmic or linear axes, drawn as a PNG by png.py and for a browser by page.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

# Distinct in shade as well as in hue (Okabe and Ito 2008, and a dark violet).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#4B0055")
CEILING_COLOUR = "#444444"

Dash = Literal["solid", "dash", "dot", "dashdot"]


@dataclass(frozen=True)
class Line:
    """Attributes:
    points: x and y.
    mark: which of the marks its points have, any number; None draws none.
    bold: whether it is one that the plot is about.
    spread: lowest and highest at every point; none is drawn where it is empty.
    open_marks: of every point, whether its mark is not filled; none is where it is empty.
    joined: whether a line goes from point to point.
    labels: of every point, what a browser says of it beside its place; nothing where it is empty.
    """

    name: str
    points: Sequence[tuple[float, float]]
    colour: str
    mark: int | None = None
    dash: Dash = "solid"
    bold: bool = True
    spread: Sequence[tuple[float, float]] = ()
    open_marks: Sequence[bool] = ()
    joined: bool = True
    labels: Sequence[str] = ()


@dataclass(frozen=True)
class Plot:
    """Attributes:
    title: what tells it from the plots beside it; "" where it has none.
    x, y: what the axes show, with units.
    ticks: on the x axis; () leaves them to the library.
    hover: what a browser says of a point, as a template of plotly.
    logarithmic: whether both axes are.
    """

    title: str
    x: str
    y: str
    lines: Sequence[Line]
    ticks: Sequence[float] = ()
    hover: str = "%{y:,.4g} at %{x}"
    logarithmic: bool = True
