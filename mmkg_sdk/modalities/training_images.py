"""Images of a training: on its GPU where they fit, else gathered on the host for each batch; decoded once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .images import CLIP_DEVIATION, CLIP_MEAN

# Of the memory that a GPU has free before the training, how much images may take; activations need the most of it.
SHARE_OF_FREE_MEMORY = 0.25
_CHUNK_BYTES = 1 << 26


class StoredImages(NamedTuple):
    """Images of a run by row.

    Attributes:
        pixels: uint8 [rows, ..., 3, size, size], colours as `clip_colours` gives them, or floats that a vision tower
            reads as they are; a memory map serves as well.
        present: bool [rows, ...], whether there is an image; None = there is one everywhere.
    """

    pixels: NDArray[Any]
    present: NDArray[np.bool_] | None = None


class TrainingImages(nn.Module):
    """Groups of images, of which a row shows one of each. Row -1 shows none; what is not there is all zero.

    Colours travel and are kept as uint8, a quarter of what a vision tower reads, and become float32 on the device.

    Args:
        groups: by name, all of the same rows.
    """

    def __init__(self, groups: Mapping[str, StoredImages]) -> None:
        super().__init__()
        self.groups = dict(groups)
        for name, group in self.groups.items():
            present = None if group.present is None else torch.as_tensor(group.present)
            self.register_buffer(f"{name}_present", present, persistent=False)
            self.register_buffer(f"{name}_pixels", None, persistent=False)
        # White is a tensor too: a GPU would multiply with the reciprocal of a number, which is rounded otherwise.
        for name, values in (("white", (255.0,)), ("mean", CLIP_MEAN), ("deviation", CLIP_DEVIATION)):
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)

    @property
    def num_bytes(self) -> int:
        """Of all pixels as they are stored."""
        return sum(group.pixels.nbytes for group in self.groups.values())

    @property
    def is_placed(self) -> bool:
        """Whether all pixels lie beside the other buffers."""
        return any(getattr(self, f"{name}_pixels") is not None for name in self.groups)

    def place(self, device: torch.device, most_bytes: int | None = None) -> None:
        """Copy all pixels to the device if they take at most so many bytes, else none.

        Args:
            most_bytes: None = SHARE_OF_FREE_MEMORY of a GPU; on the CPU nothing, as they may lie on the disk.
        """
        if most_bytes is None:
            free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0
            most_bytes = int(SHARE_OF_FREE_MEMORY * free)
        if not 0 < self.num_bytes <= most_bytes:
            return
        for name, group in self.groups.items():
            # A row at least, so that there is one to take where none is shown.
            shape = (max(1, len(group.pixels)), *group.pixels.shape[1:])
            table = torch.zeros(shape, device=device, dtype=_dtype(group))
            step = max(1, _CHUNK_BYTES * len(group.pixels) // group.pixels.nbytes)
            for start in range(0, len(group.pixels), step):
                part = np.array(group.pixels[start : start + step])
                table[start : start + len(part)] = torch.from_numpy(part)
            setattr(self, f"{name}_pixels", table)

    def gathered(self, rows: Tensor) -> tuple[Tensor, ...]:
        """The pixels of some rows, int64 [n], on the CPU, one tensor for each group; nothing where they are placed."""
        return () if self.is_placed else tuple(_gathered(group.pixels, rows.numpy()) for group in self.groups.values())

    def forward(self, rows: Tensor, gathered: Sequence[Tensor]) -> dict[str, Tensor]:
        """What the vision tower reads, float32 [n, ..., 3, size, size] by group.

        Args:
            rows: int64 [n]; gathered: what `gathered` gave for them, on the same device.
        """
        return dict(self._groups(rows, gathered))

    def _groups(self, rows: Tensor, gathered: Sequence[Tensor]) -> Iterator[tuple[str, Tensor]]:
        taken, there = rows.clamp_min(0), rows >= 0
        for number, name in enumerate(self.groups):
            pixels = getattr(self, f"{name}_pixels")[taken] if self.is_placed else gathered[number]
            present = getattr(self, f"{name}_present")
            shown = there.view(-1, *[1] * (pixels.ndim - 4))
            if present is not None:
                shown = shown & present[taken]
            yield name, torch.where(shown[..., None, None, None], self._values(pixels), 0)

    def _values(self, pixels: Tensor) -> Tensor:
        """Colours normalised, to the bit as by `modalities.images.normalised`."""
        if pixels.dtype != torch.uint8:
            return pixels.float()
        white, mean, deviation = (self.get_buffer(name) for name in ("white", "mean", "deviation"))
        return pixels.float().div_(white).sub_(mean).div_(deviation)


def _gathered(pixels: NDArray[Any], rows: NDArray[np.int64]) -> Tensor:
    """[n, ..., 3, size, size]: the rows of a table, without reading any for -1."""
    found = np.zeros((len(rows), *pixels.shape[1:]), pixels.dtype)
    found[rows >= 0] = pixels[rows[rows >= 0]]
    return torch.from_numpy(found)


def _dtype(group: StoredImages) -> torch.dtype:
    return torch.from_numpy(np.empty(0, group.pixels.dtype)).dtype
