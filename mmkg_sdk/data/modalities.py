"""Modalities of a data set as a whole: as vectors, and left out on purpose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..files.labels import Labels
from ..modalities.selection import mean_row
from ..registry import said_modality
from .graph import DataSet, Features, RawTokens
from .open import AnyData, kind_of


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


def drop_modalities(dataset: AnyData, shares: Mapping[str, float], seed: int) -> DataSet:
    """The data set in which a random share of the entities lacks a modality; for experiments.

    Args:
        shares: "image", "text" or a further modality -> share of all entities that lose it, 0 to 1.
        seed: of the choice.

    Raises:
        DataError: unknown modality or a share out of range.
    """
    if not isinstance(dataset, DataSet):
        raise DataError(f"modalities are dropped from knowledge graphs; {dataset.name} holds {kind_of(dataset)}.")
    known = {said_modality(modality): modality for modality in dataset.modalities}
    for name, share in shares.items():
        if name not in known or type(share) not in (int, float) or not 0 <= share <= 1:
            raise DataError(f"cannot drop {name}={share}; expected {' or '.join(known)}, and a share from 0 to 1.")
        count = len(dataset.graph.entities)
        order = np.random.default_rng([seed, list(known).index(name)]).permutation(count)
        dataset = _only(dataset, known[name], np.sort(order[round(share * count) :]))
    return dataset


def _only(dataset: DataSet, modality: str, kept: NDArray[np.int64]) -> DataSet:
    """The data set with one modality for the kept rows alone."""
    tokens, features = dict(dataset.tokens), dict(dataset.features)
    labels = {dataset.graph.entities[int(row)] for row in kept}
    if modality in tokens:
        raw = tokens[modality]
        tokens[modality] = replace(raw, lists={label: ids for label, ids in raw.lists.items() if label in labels})
    if modality in features:
        vectors, mask = features[modality].vectors, np.zeros(len(dataset.graph.entities), np.bool_)
        mask[kept] = True
        present = features[modality].present & mask
        features[modality] = Features(np.where(mask[:, None], vectors, np.float32(0)), present)
    dataset = replace(dataset, tokens=tokens, features=features)
    if modality == "visual":
        images = {label: files for label, files in dataset.images.items() if label in labels}
        return replace(dataset, images=images)
    if modality != "text":
        return dataset
    descriptions = {label: text for label, text in dataset.descriptions.items() if label in labels}
    # Entities without an entry here are no candidates of MKGformer; their label is what is left to tell them by.
    texts = {label: text if label in labels else label for label, text in dataset.entity_texts.items()}
    return replace(dataset, descriptions=descriptions, entity_texts=texts)


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
