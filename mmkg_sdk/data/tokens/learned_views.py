"""A small image tokenizer learned from the images at hand: codebooks of what pictures look like, whole and in parts.

Every picture is described by thirteen vectors (modalities/image_views.py). For each of them, the distinct ones of all
pictures (a seeded sample of 20,000 if there are more) are clustered by k-means into at most 256 codes, and no more than
one for four pictures, so that a code is shared; centres are rounded to whole numbers. A picture has thirteen tokens:
the nearest centre of each view, the whole picture's first.

A codebook row says what the pictures with this code look like: the mean of their first vectors, less the mean of all
pictures, and the whole divided by its standard deviation. So rows of different views lie in one space, and those that
stand together are near. Same images, same result.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...errors import missing_package
from ...modalities.image_tokens import Centres, ImageTokenizer
from ...modalities.image_views import WIDTHS, image_views

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_CODES = 256
MAX_SAMPLE = 20_000
# A code of one picture alone says nothing of another.
PICTURES_OF_A_CODE = 4
SEED = 0


def learn_view_tokens(
    images: Iterable[tuple[str, Image]],
) -> tuple[dict[str, list[int]], NDArray[np.float32], ImageTokenizer]:
    """Entity -> tokens of its pictures, 13 for each; the codebook float32 [codes, 176]; and what made the tokens.

    Raises:
        BackendError: scikit-learn is missing.
    """
    owners: list[str] = []
    described: list[list[NDArray[np.int16]]] = []
    for entity, image in images:
        owners.append(entity)
        described.append([view.astype(np.int16) for view in image_views(image)])
    if not owners:
        return {}, np.zeros((0, WIDTHS[0]), np.float32), ImageTokenizer(())
    views = [np.stack(view) for view in zip(*described, strict=True)]
    most = min(MAX_CODES, max(2, len(owners) // PICTURES_OF_A_CODE))
    tokenizer = ImageTokenizer(tuple(_centres(view, most) for view in views))
    tokens = np.stack(
        [
            start + np.array(Centres.of(centres).nearest(view))
            for start, view, centres in zip(tokenizer.starts, views, tokenizer.centres, strict=True)
        ],
        axis=1,
    )
    lists: dict[str, list[int]] = {}
    for entity, own in zip(owners, tokens.tolist(), strict=True):
        lists.setdefault(entity, []).extend(own)
    return lists, _codebook(tokens, views[0], tokenizer.size), tokenizer


def _centres(vectors: NDArray[np.int16], most: int) -> NDArray[np.int16]:
    """int16 [codes, width]."""
    try:
        from sklearn.cluster import KMeans
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
    except ImportError as err:
        raise missing_package("scikit-learn", "train", "learning an image tokenizer") from err
    distinct = np.unique(vectors, axis=0)
    if len(distinct) <= most:
        return distinct
    if len(distinct) > MAX_SAMPLE:
        distinct = np.random.default_rng(SEED).choice(distinct, MAX_SAMPLE, replace=False)
    # One thread: with several, the order of the sums, and with it the last bits, changes from run to run.
    with threadpool_limits(limits=1):
        clusters = KMeans(most, n_init=1, random_state=SEED).fit(distinct.astype(np.float32))
    centres: NDArray[np.int16] = np.rint(clusters.cluster_centers_).astype(np.int16)
    return centres


def _codebook(tokens: NDArray[np.int64], whole: NDArray[np.int16], codes: int) -> NDArray[np.float32]:
    """The rows that the module describes; a code of no picture, which rounding may leave, is zero."""
    sums, counts = np.zeros((codes, whole.shape[1])), np.bincount(tokens.ravel(), minlength=codes)
    for column in tokens.T:
        np.add.at(sums, column, whole)
    rows = np.where(counts[:, None], sums / np.maximum(counts, 1)[:, None] - whole.mean(axis=0), 0.0)
    deviation = rows.std()
    return (rows / (deviation if deviation > 0 else 1.0)).astype(np.float32)
