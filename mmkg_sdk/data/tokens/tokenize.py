"""Turning the descriptions and images of a data set into tokens."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from ...errors import DataError
from ..entity_images import find_entity_images
from ..graph import DataSet
from .images import LEARNED, tokenize_images
from .text import tokenize_texts


def tokenize_dataset(
    dataset: DataSet,
    *,
    images: Path | Mapping[str, Sequence[Path]] | None,
    text_model: str = LEARNED,
    image_model: str = LEARNED,
) -> DataSet:
    """The same data set with fresh tokens: text from its descriptions, visual from the images.

    Args:
        dataset: its descriptions are tokenized; without any, its text tokens stay as they are.
        images: a folder (see `find_entity_images`), or entity label -> image files; None: the visual tokens stay as
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
        files = images if isinstance(images, Mapping) else find_entity_images(Path(images), dataset)
        if not files:
            raise DataError(
                f"{images} has no image of any of the {len(dataset.graph.entities)} entities. Name files <label>.png, "
                "by a published name or by <id>.png."
            )
        visual, unreadable = tokenize_images(files, image_model)
        for image in unreadable:
            warnings.warn(f"{image.path} of {image.entity!r} is left out: {image.reason}", stacklevel=2)
    return dataclasses.replace(dataset, text=text, visual=visual)
