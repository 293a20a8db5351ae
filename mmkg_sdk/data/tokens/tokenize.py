"""Turning the descriptions and images of a data set into tokens."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping
from pathlib import Path

from ...errors import DataError
from ..graph import DataSet
from ..image_files import find_images
from .images import LEARNED, tokenize_images
from .text import tokenize_texts


def tokenize_dataset(
    dataset: DataSet,
    *,
    images: Path | Mapping[str, list[Path]] | None,
    text_model: str = LEARNED,
    image_model: str = LEARNED,
) -> DataSet:
    """The same data set with fresh tokens: text from its descriptions, visual from the images.

    Args:
        dataset: its descriptions are tokenized; without any, its text tokens stay as they are.
        images: a folder (see `find_images`), or entity label -> image files; None: the visual tokens stay as
            they are.
        text_model: see `tokenize_texts`.
        image_model: see `tokenize_images`.

    Raises:
        DataError: if there is neither a description nor an image. Images that cannot be read are left out
            with a warning.
    """
    if not dataset.descriptions and images is None:
        raise DataError(
            "there is nothing to tokenize: no descriptions and no images. Give --texts FILE or --images DIR."
        )
    text, visual = dataset.text, dataset.visual
    if dataset.descriptions:
        text = tokenize_texts(dataset.descriptions, text_model)
    if images is not None:
        files = images if isinstance(images, Mapping) else find_images(Path(images), dataset.graph.entities)
        visual, unreadable = tokenize_images(files, image_model)
        for image in unreadable:
            warnings.warn(f"{image.path} of {image.entity!r} is left out: {image.reason}", stacklevel=2)
    return dataclasses.replace(dataset, text=text, visual=visual)
