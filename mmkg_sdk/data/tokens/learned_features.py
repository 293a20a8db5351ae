"""A codebook learned from a matrix of features: product quantisation (Jegou et al. 2011), a token for each part.

The columns are cut into parts of nearly equal width, in their order. In each part the distinct rows of all entities
that have the modality (a seeded sample of 20,000 if there are more) are clustered by k-means into at most 256 codes.
An entity has one token for each part, in the order of the parts: the nearest centre. A codebook row is a centre in its
own columns, less the mean of its part's centres, and zero in the others, so that a linear map of the sum of an entity's
rows is that of its quantised vector; the whole is divided by its standard deviation over the columns in use. Same
matrix, same result.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError, missing_package
from ...files.labels import Labels
from ..graph import Features, RawTokens

DEFAULT_PARTS = 8
MAX_CODES = 256
MAX_SAMPLE = 20_000
SEED = 0


def learn_feature_tokens(features: Features, entities: Labels, parts: int = DEFAULT_PARTS) -> RawTokens:
    """One token of each part for every entity that has the modality, and the codebook float32 [codes, width].

    Args:
        features: one row per entity.
        parts: tokens of an entity, at most as many as columns.

    Raises:
        DataError: no entity has the modality, or there cannot be so many parts.
        BackendError: scikit-learn is missing.
    """
    rows = np.flatnonzero(features.present)
    vectors = features.vectors[rows]
    if not len(rows):
        raise DataError("no entity has features; all rows are zero. Give others.")
    if not 1 <= parts <= vectors.shape[1]:
        raise DataError(f"{parts} parts of features of {vectors.shape[1]} numbers; expected 1 to {vectors.shape[1]}.")
    tokens = np.empty((len(rows), parts), np.int64)
    codebooks: list[NDArray[np.float64]] = []
    columns = np.array_split(np.arange(vectors.shape[1]), parts)
    count = 0
    for part, own in enumerate(columns):
        centres, tokens[:, part] = _clusters(np.ascontiguousarray(vectors[:, own]))
        tokens[:, part] += count
        count += len(centres)
        codebooks.append(centres - centres.mean(axis=0))
    deviation = np.sqrt(np.concatenate([np.square(centres).ravel() for centres in codebooks]).mean())
    codebook = np.zeros((count, vectors.shape[1]))
    start = 0
    for own, centres in zip(columns, codebooks, strict=True):
        codebook[start : start + len(centres), own] = centres / (deviation if deviation > 0 else 1.0)
        start += len(centres)
    lists = {entities[int(row)]: own.tolist() for row, own in zip(rows, tokens, strict=True)}
    return RawTokens(lists, codebook.astype(np.float32), count, count - 1, "learned-features")


def _clusters(vectors: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Centres float64 [codes, width] and the nearest of each row."""
    try:
        from sklearn.cluster import KMeans
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
    except ImportError as err:
        raise missing_package("scikit-learn", "train", "learning a codebook of features") from err
    distinct = np.unique(vectors, axis=0)
    if len(distinct) > MAX_SAMPLE:
        distinct = np.random.default_rng(SEED).choice(distinct, MAX_SAMPLE, replace=False)
    # One thread: with several, the order of the sums, and with it the last bits, changes from run to run.
    with threadpool_limits(limits=1):
        clusters = KMeans(min(MAX_CODES, len(distinct)), n_init=1, random_state=SEED).fit(distinct)
        return clusters.cluster_centers_.astype(np.float64), clusters.predict(vectors).astype(np.int64)
