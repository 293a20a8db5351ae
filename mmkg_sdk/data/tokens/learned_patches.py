"""A small image tokenizer learned from the images at hand: a codebook of colour patches.

Every image is resized to 64 x 48 pixels (whatever its shape: flags and logos lose nothing that a crop would
keep) and cut into 48 patches of 8 x 8. The distinct patches (a seeded sample of 20,000 if there are more) are
clustered by k-means into at most 256 codes; a patch's token is the nearest centre. A codebook row is the
centre itself, float32, less the mean of all centres and divided by their standard deviation. Same images,
same result.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...errors import missing_package

if TYPE_CHECKING:
    from PIL.Image import Image

IMAGE_WIDTH, IMAGE_HEIGHT, PATCH = 64, 48, 8
MAX_CODES = 256
MAX_SAMPLE = 20_000
SEED = 0


def learn_image_tokens(
    images: Iterable[tuple[str, Image]],
) -> tuple[dict[str, list[int]], NDArray[np.float32]]:
    """Entity -> tokens of its images, 48 per image, and the codebook float32 [codes, 192]."""
    try:
        from sklearn.cluster import KMeans
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
    except ImportError as err:
        raise missing_package("scikit-learn", "train", "learning an image tokenizer") from err
    cut = [(entity, _patches(image)) for entity, image in images]
    if not cut:
        return {}, np.zeros((0, PATCH * PATCH * 3), dtype=np.float32)
    distinct = np.unique(np.concatenate([patches for _, patches in cut]), axis=0)
    if len(distinct) > MAX_SAMPLE:
        distinct = np.random.default_rng(SEED).choice(distinct, MAX_SAMPLE, replace=False)
    codes = min(MAX_CODES, len(distinct))
    # One thread: with several, the order of the sums, and with it the last bits, changes from run to run.
    with threadpool_limits(limits=1):
        clusters = KMeans(codes, n_init=1, random_state=SEED).fit(distinct.astype(np.float32))
        lists: dict[str, list[int]] = {}
        for entity, patches in cut:
            lists.setdefault(entity, []).extend(clusters.predict(patches.astype(np.float32)).tolist())
    centres = clusters.cluster_centers_.astype(np.float64)
    deviation = centres.std()
    codebook = (centres - centres.mean(axis=0)) / (deviation if deviation > 0 else 1.0)
    return lists, codebook.astype(np.float32)


def _patches(image: Image) -> NDArray[np.uint8]:
    """uint8 [48, 192]: patches row by row, each 8 x 8 x RGB flattened."""
    small = np.asarray(image.resize((IMAGE_WIDTH, IMAGE_HEIGHT), resample=4), dtype=np.uint8)  # 4 = box
    rows, columns = IMAGE_HEIGHT // PATCH, IMAGE_WIDTH // PATCH
    grid = small.reshape(rows, PATCH, columns, PATCH, 3).swapaxes(1, 2)
    return grid.reshape(rows * columns, PATCH * PATCH * 3)
