"""The images of entities and posts as a run stores them, and as the vision tower reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...data.sentences import SentenceImages
from ...files.tensors import scratch_array
from ...modalities.images import PixelTable, clip_colours, normalised
from ...registry import LINK_PREDICTION
from .config import MKGformerConfig
from .encoder import Images

NO_IMAGES = -1


class StoredPixels:
    """One group of images by row: uint8 with what is present, normalised when asked for, or float32 as given."""

    def __init__(self, pixels: NDArray[Any], present: NDArray[np.bool_] | None) -> None:
        self._pixels, self._present = pixels, present

    def __getitem__(self, rows: NDArray[np.int64], /) -> NDArray[np.float32]:
        """float32 [rows, ..., 3, size, size]; a missing image is all zero."""
        if self._present is None:
            return np.asarray(self._pixels[rows], np.float32)
        values = normalised(self._pixels[rows])
        values[~self._present[rows]] = 0
        return values


@dataclass(frozen=True)
class ImageGroups:
    """The images of n entities or posts, preprocessed, by group; a group that the model has not is None.

    Rows are float [3, size, size] in the main group, else [images, 3, size, size]; missing images are all zero.
    """

    main: PixelTable | None = None
    aux: PixelTable | None = None
    rcnn: PixelTable | None = None

    def images(self, rows: Tensor) -> Images:
        """float32 images of some rows, int64 [B], on the device of `rows`; all zeros where the row is -1."""
        shown = rows.cpu().numpy()

        def group(table: PixelTable | None) -> Tensor | None:
            if table is None:
                return None
            pixels = np.array(table[np.maximum(shown, 0)], dtype=np.float32)  # a copy, so that it may be changed
            pixels[shown < 0] = 0
            return torch.from_numpy(pixels).to(rows.device)

        return Images(group(self.main), group(self.aux), group(self.rcnn))


def stored_images(
    shown: Sequence[SentenceImages], config: MKGformerConfig
) -> tuple[NDArray[np.int64], dict[str, NDArray[Any]]]:
    """The images of n entities or posts; equal sets are stored once.

    Returns:
        rows: int64 [n], the set that each shows; NO_IMAGES = none.
        pixels: "main" uint8 [sets, 3, size, size], "aux" and "rcnn" uint8 [sets, images, 3, size, size], on the disk,
            without the groups that the model does not read; "main_present" bool [sets] and so on. At least one set.

    An image that cannot be read is missing, with a UserWarning.
    """
    sets: dict[SentenceImages, int] = {}
    rows = np.array([sets.setdefault(one, len(sets)) if _any(one) else NO_IMAGES for one in shown], np.int64)
    pixels: dict[str, NDArray[Any]] = {}
    for group, (count, size) in groups(config).items():
        shape = (max(1, len(sets)), *(() if group == "main" else (count,)))
        pixels[group] = scratch_array((*shape, 3, size, size), "u1")
        present = pixels[f"{group}_present"] = np.zeros(shape, np.bool_)
        for one, row in sets.items():
            files = (one.main,) if group == "main" else getattr(one, group)[:count]
            for number, path in enumerate(files):
                colours = None if path is None else clip_colours(path, size)
                if colours is not None:
                    place = (row,) if group == "main" else (row, number)
                    pixels[group][place], present[place] = colours, True
    return rows, pixels


def groups(config: MKGformerConfig) -> dict[str, tuple[int, int]]:
    """The groups that a model reads: name -> number of images and their size."""
    found = {} if config.task != LINK_PREDICTION else {"main": (1, config.image_size)}
    if config.num_aux_images:
        found["aux"] = (config.num_aux_images, config.aux_image_size)
    if config.num_rcnn_images:
        found["rcnn"] = (config.num_rcnn_images, config.rcnn_image_size)
    return found


def image_groups(pixels: Mapping[str, NDArray[Any]]) -> ImageGroups:
    """What a model is shown, from the arrays of `stored_images` or from float32 arrays alone."""
    names = [name for name in ("main", "aux", "rcnn") if name in pixels]
    return ImageGroups(**{name: StoredPixels(pixels[name], pixels.get(f"{name}_present")) for name in names})


def _any(images: SentenceImages) -> bool:
    return images.main is not None or bool(images.aux) or bool(images.rcnn)
