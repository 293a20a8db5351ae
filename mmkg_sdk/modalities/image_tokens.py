"""Pictures to tokens: of each of the thirteen views of a picture the nearest centre (product quantisation)."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .image_views import PLACES, Box, image_views

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class ImageTokenizer:
    """A learned image tokenizer; what it learned are centres.

    Attributes:
        centres: of each view int16 [codes, width], see image_views.py. Tokens count through them all.
    """

    centres: tuple[NDArray[np.int16], ...]

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
            start + nearest(view[None], centres)[0]
            for start, view, centres in zip(self.starts, views, self.centres, strict=True)
        ]


def nearest(vectors: NDArray[np.int64], centres: NDArray[np.int16]) -> list[int]:
    """The nearest centre of each vector, the first of equal ones; exact, so the same on every machine.

    Args:
        vectors, centres: [n, width] and [codes, width], of numbers so small that float64 holds every sum.
    """
    own = centres.astype(np.float64)
    distances = np.square(own).sum(axis=1) - 2 * (vectors.astype(np.float64) @ own.T)
    found: list[int] = distances.argmin(axis=1).tolist()
    return found
