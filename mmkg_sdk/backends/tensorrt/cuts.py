"""Batches that are larger than an engine takes, cut into pieces along the axes that every output has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...bundle.graph_specs import Axis, GraphSpec, TensorSpec
from .profiles import Profile

# Axis -> the part of it; of axes that are not cut there is none.
Piece = Mapping[str, slice]


def cut(spec: GraphSpec, profiles: Sequence[Profile], sizes: Mapping[str, int]) -> list[Piece]:
    """The pieces of inputs of these sizes, each as large as the largest profile takes; one if nothing is too large."""
    axes, parts = [], []
    for axis in spec.batch_axes():
        size, most = sizes[axis], max(profile[axis].most for profile in profiles)
        if size > most:
            axes.append(axis)
            parts.append([slice(start, min(start + most, size)) for start in range(0, size, most)])
    return [dict(zip(axes, piece, strict=True)) for piece in product(*parts)]


def part_of(tensor: TensorSpec, array: NDArray[Any], piece: Piece) -> NDArray[Any]:
    """What a piece has of an input or output, as a view."""
    return array[
        tuple(piece.get(axis.name, slice(None)) if isinstance(axis, Axis) else slice(None) for axis in tensor.shape)
    ]


def empty_outputs(spec: GraphSpec, sizes: Mapping[str, int]) -> dict[str, NDArray[Any]]:
    """Arrays for the whole outputs, on the host."""
    return {
        tensor.name: np.empty(
            [sizes[axis.name] if isinstance(axis, Axis) else axis for axis in tensor.shape], tensor.dtype
        )
        for tensor in spec.outputs
    }
