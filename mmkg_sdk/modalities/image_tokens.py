"""Pictures to tokens: of each of the thirteen views of a picture the nearest centre (product quantisation)."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from .image_views import MOST, PLACES, WIDTHS, Box, image_views
from .readers import Parts, listed_parts

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class ImageTokenizer:
    """A learned image tokenizer; what it learned are centres.

    Attributes:
        centres: of each view int16 [codes, width], see image_views.py. Tokens count through them all.
    """

    reads: ClassVar[Literal["images"]] = "images"

    centres: tuple[NDArray[np.int16], ...]

    @classmethod
    def of_parts(cls, parts: Parts) -> Self:
        """See ImageReader.of_parts."""
        names = [f"view_{place}" for place in range(len(WIDTHS))]
        if sorted(names) != sorted(parts):
            raise ValueError(f"an image tokenizer of {listed_parts(parts)}; expected {', '.join(names)}")
        for name, width in zip(names, WIDTHS, strict=True):
            view = parts[name]
            if view.dtype != np.int16 or view.ndim != 2 or view.shape[1] != width or not len(view):
                raise ValueError(f"{name} is {view.dtype} {list(view.shape)}; expected int16 [codes, {width}]")
            if view.min() < 0 or view.max() > MOST:
                raise ValueError(f"{name} holds numbers outside 0 to {MOST}")
        return cls(tuple(parts[name] for name in names))

    def parts(self) -> dict[str, NDArray[Any]]:
        """See ImageReader.parts."""
        return {f"view_{place}": centres for place, centres in enumerate(self.centres)}

    @property
    def size(self) -> int:
        """Tokens that there are."""
        return sum(map(len, self.centres))

    @cached_property
    def starts(self) -> list[int]:
        """The first token of each view."""
        return [0, *itertools.accumulate(map(len, self.centres[:-1]))]

    def place(self, token: int) -> Box:
        """Where in a picture without its border a token stands for what is seen; see PLACES in image_views.py."""
        return PLACES[bisect_right(self.starts, token) - 1]

    def tokens(self, image: Image) -> list[int]:
        """The thirteen tokens of a picture in RGB, in the order of its views."""
        return self.of_views(image_views(image))

    def of_views(self, views: Sequence[NDArray[np.int64]]) -> list[int]:
        """The same, of the views of a picture; of equally near centres the first."""
        return [
            start + centres.nearest(view[None])[0]
            for start, view, centres in zip(self.starts, views, self._centres, strict=True)
        ]

    @cached_property
    def _centres(self) -> list[Centres]:
        return [Centres.of(own) for own in self.centres]


@dataclass(frozen=True)
class Centres:
    """What vectors are compared with.

    Attributes:
        vectors: float64 [codes, width], whole numbers.
        squares: float64 [codes], of their lengths.
    """

    vectors: NDArray[np.float64]
    squares: NDArray[np.float64]

    @classmethod
    def of(cls, centres: NDArray[np.int16]) -> Centres:
        """Of whole numbers [codes, width] so small that float64 holds every sum."""
        own = centres.astype(np.float64)
        return cls(own, np.square(own).sum(axis=1))

    def nearest(self, vectors: NDArray[np.int64]) -> list[int]:
        """The nearest centre of each vector [n, width], the first of equal ones; exact, so the same everywhere."""
        distances = self.squares - 2 * (vectors.astype(np.float64) @ self.vectors.T)
        found: list[int] = distances.argmin(axis=1).tolist()
        return found
