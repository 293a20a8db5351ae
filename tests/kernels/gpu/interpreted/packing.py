"""Weights of encoder layers as cuda/launch/ packs them for the kernels, from the same formula, not the same code."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mmkg_sdk.kernels.cuda.triton.layer import PADDED_WIDTHS
from mmkg_sdk.kernels.cuda.triton.token_table import GROUP


class Packing:
    """Where columns of vectors and of heads lie."""

    def __init__(self, width: int, heads: int) -> None:
        per_head = width // heads
        self.groups_per_head = -(-per_head // GROUP)
        needed = max(width, heads * self.groups_per_head * GROUP)
        self.padded = next(padded for padded in PADDED_WIDTHS if padded >= needed)
        starts = np.arange(heads)[:, None] * self.groups_per_head * GROUP
        self.places = (starts + np.arange(per_head)[None, :]).ravel()

    def pack(self, array: NDArray[Any], *axes: str) -> torch.Tensor:
        """Padded with zeros on each axis: "columns", "groups" (of heads), "hidden" (to a multiple of 64), or not."""
        if len(axes) == 1:
            array = array.reshape(-1)
        for axis, kind in enumerate(axes):
            sizes = {"columns": self.padded, "groups": self.padded, "hidden": -(-array.shape[axis] // 64) * 64}
            if kind not in sizes:
                continue
            wide = np.zeros((*array.shape[:axis], sizes[kind], *array.shape[axis + 1 :]), np.float32)
            places = self.places if kind == "groups" else np.arange(array.shape[axis])
            wide[(slice(None),) * axis + (places,)] = array
            array = wide
        return torch.from_numpy(np.ascontiguousarray(array))
