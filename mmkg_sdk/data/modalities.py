"""A modality of a data set as one vector per entity."""

from __future__ import annotations

import numpy as np

from ..errors import DataError
from ..files.labels import Labels
from ..modalities.selection import mean_row
from .graph import DataSet, Features, RawTokens


def modality_features(dataset: DataSet, modality: str) -> Features:
    """One vector per entity: the data set's features, else the mean codebook row of each entity's tokens.

    A modality that the data lacks altogether gives one column of zeros, present nowhere.
    """
    if modality in dataset.features:
        return dataset.features[modality]
    raw, entities = dataset.tokens.get(modality), dataset.graph.entities
    if raw is None:
        return Features(np.zeros((len(entities), 1), np.float32), np.zeros(len(entities), np.bool_))
    return _mean_rows(raw, entities)


def _mean_rows(raw: RawTokens, entities: Labels) -> Features:
    largest = max((max(tokens, default=0) for tokens in raw.lists.values()), default=0)
    if largest >= len(raw.codebook):
        raise DataError(
            f"token {largest} is no row of the {raw.tokenizer} codebook, which has {len(raw.codebook)}, so there is no "
            "mean vector. Tokenize again, or give features."
        )
    vectors = np.zeros((len(entities), raw.codebook.shape[1]), np.float32)
    present = np.zeros(len(entities), np.bool_)
    for label, tokens in raw.lists.items():
        row = entities.find(label)
        if row is not None and len(tokens):
            vectors[row] = mean_row(tokens, raw.codebook)
            present[row] = True
    return Features(vectors, present)
