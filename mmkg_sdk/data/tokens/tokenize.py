"""Turning the descriptions and images of a data set into tokens."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from ...errors import DataError
from ...registry import PUBLISHED_MODALITIES
from ..entity_images import find_entity_images
from ..graph import DataSet, Features
from .images import LEARNED, tokenize_images
from .learned_features import DEFAULT_PARTS, learn_feature_tokens
from .text import tokenize_texts


def tokenize_dataset(
    dataset: DataSet,
    *,
    images: Path | Mapping[str, Sequence[Path]] | None,
    text_model: str = LEARNED,
    image_model: str = LEARNED,
    texts: Mapping[str, Mapping[str, str]] | None = None,
    features: Mapping[str, Features] | None = None,
    parts: int = DEFAULT_PARTS,
) -> DataSet:
    """The same data set with fresh tokens: text from its descriptions, visual from the images, and further modalities.

    Args:
        dataset: its descriptions are tokenized; without any, its text tokens stay as they are.
        images: a folder (see `find_entity_images`), or entity label -> image files; None: the visual tokens stay as
            they are.
        text_model: of all texts, see `tokenize_texts`.
        image_model: see `tokenize_images`.
        texts: further modalities as entity label -> text.
        features: modalities as one vector per entity, which the data set keeps, too; their tokens are learned, those of
            "visual" and "text" in place of tokens of images and descriptions.
        parts: tokens of an entity in each of `features`, see `learn_feature_tokens`.

    Raises:
        DataError: if there is nothing to tokenize, or a modality is given twice. Images that cannot be read are left
            out with a warning.
    """
    texts, features = texts or {}, features or {}
    if not dataset.descriptions and images is None and not texts and not features:
        raise DataError(
            "there is nothing to tokenize: no descriptions and no images. Give --texts FILE or --images DIR."
        )
    if twice := sorted(set(texts) & {*PUBLISHED_MODALITIES, *features}):
        raise DataError(
            f"texts of modality {twice[0]!r} are given, whose tokens come of descriptions, images or features. Choose "
            "another name."
        )
    tokens = dict(dataset.tokens)
    for name, vectors in features.items():
        tokens[name] = learn_feature_tokens(vectors, dataset.graph.entities, parts)
    for name, described in texts.items():
        tokens[name] = tokenize_texts(described, text_model)
    if dataset.descriptions and "text" not in features:
        tokens["text"] = tokenize_texts(dataset.descriptions, text_model)
    if images is not None and "visual" not in features:
        files = images if isinstance(images, Mapping) else find_entity_images(Path(images), dataset)
        if not files:
            raise DataError(
                f"{images} has no image of any of the {len(dataset.graph.entities)} entities. Name files <label>.png, "
                "by a published name or by <id>.png."
            )
        tokens["visual"], unreadable = tokenize_images(files, image_model)
        for image in unreadable:
            warnings.warn(f"{image.path} of {image.entity!r} is left out: {image.reason}", stacklevel=2)
    return dataclasses.replace(dataset, tokens=tokens, features={**dataset.features, **features})
