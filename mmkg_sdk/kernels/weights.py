"""Weights of a graph on their way into the library: which there must be, and how they lie."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BackendError
from .library import in_place

# That of torch's LayerNorm, with which the families' norms are made; a weight file does not hold it.
NORM_EPSILON = 1e-5

# What an encoder layer does behind its attention, in mmkg_query_layer and in mmkg_token_table_weights: field -> weight
# of the graph and its axes.
WIDTH, HIDDEN = "width", "feedforward_width"
LAYER_REST: dict[str, tuple[str, tuple[str, ...]]] = {
    "output_weight": ("rest.output.multiplied_weight", (WIDTH, WIDTH)),
    "output_bias": ("rest.output.bias", (WIDTH,)),
    "norm1_weight": ("rest.norm1.weight", (WIDTH,)),
    "norm1_bias": ("rest.norm1.bias", (WIDTH,)),
    "hidden_weight": ("rest.hidden.multiplied_weight", (WIDTH, HIDDEN)),
    "hidden_bias": ("rest.hidden.bias", (HIDDEN,)),
    "feedforward_weight": ("rest.feedforward.multiplied_weight", (HIDDEN, WIDTH)),
    "feedforward_bias": ("rest.feedforward.bias", (WIDTH,)),
    "norm2_weight": ("rest.norm2.weight", (WIDTH,)),
    "norm2_bias": ("rest.norm2.bias", (WIDTH,)),
}


def expected_names(weights: Mapping[str, NDArray[Any]], names: set[str], unread: frozenset[str] = frozenset()) -> None:
    """Exactly these names, and perhaps others that nobody reads.

    Raises:
        BackendError: one is missing or unknown.
    """
    missing, unknown = names - set(weights), set(weights) - names - unread
    if unknown or missing:
        raise BackendError(
            f"weights of another graph: missing {sorted(missing)!r:.200}, unknown {sorted(unknown)!r:.200}. "
            "Export the bundle again."
        )


def two_axes(weights: Mapping[str, NDArray[Any]], name: str) -> tuple[int, int]:
    """The shape of a matrix.

    Raises:
        BackendError: it has not two axes.
    """
    shape = weights[name].shape
    if len(shape) != 2:
        raise BackendError(f"{name} is {list(shape)}; expected two axes. Export the bundle again.")
    return shape


def contiguous_weight(name: str, array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """float32 of this shape, C-contiguous; a vector may come as a row, as the graph has it.

    Raises:
        BackendError: another shape or dtype.
    """
    fits = array.shape == shape or (len(shape) == 1 and array.shape == (1, *shape))
    if not fits or array.dtype != np.float32:
        raise BackendError(
            f"{name} is {array.dtype} {list(array.shape)}; expected float32 {list(shape)}. Export the bundle again."
        )
    return in_place(array)
