"""Modalities of a data set as a whole: as vectors, and left out on purpose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..files.labels import Labels
from .graph import DataSet, Features, RawTokens
from .open import AnyData, kind_of

Modality = Literal["visual", "text"]
# What users call them -> the fields of DataSet.
MODALITIES: dict[str, Modality] = {"image": "visual", "text": "text"}


def modality_features(dataset: DataSet, modality: Modality) -> Features:
    """One vector per entity: the data set's features, else the mean codebook row of each entity's tokens.

    A modality that the data lacks altogether gives one column of zeros, present nowhere.
    """
    features = dataset.visual_features if modality == "visual" else dataset.text_features
    if features is not None:
        return features
    raw = dataset.visual if modality == "visual" else dataset.text
    entities = dataset.graph.entities
    if raw is None:
        return Features(np.zeros((len(entities), 1), np.float32), np.zeros(len(entities), np.bool_))
    return _mean_rows(raw, entities)


def drop_modalities(dataset: AnyData, shares: Mapping[str, float], seed: int) -> DataSet:
    """The data set in which a random share of the entities lacks a modality; for experiments.

    Args:
        shares: "image" or "text" -> share of all entities that lose it, 0 to 1.
        seed: of the choice.

    Raises:
        DataError: unknown modality or a share out of range.
    """
    if not isinstance(dataset, DataSet):
        raise DataError(f"modalities are dropped from knowledge graphs; {dataset.name} holds {kind_of(dataset)}.")
    for name, share in shares.items():
        if name not in MODALITIES or type(share) not in (int, float) or not 0 <= share <= 1:
            raise DataError(f"cannot drop {name}={share}; expected image or text, and a share from 0 to 1.")
        modality, entities = MODALITIES[name], dataset.graph.entities
        order = np.random.default_rng([seed, list(MODALITIES).index(name)]).permutation(len(entities))
        kept = np.sort(order[round(share * len(entities)) :])
        dataset = _only(dataset, modality, kept)
    return dataset


def _only(dataset: DataSet, modality: Modality, kept: NDArray[np.int64]) -> DataSet:
    """The data set with one modality for the kept rows alone."""
    raw = dataset.visual if modality == "visual" else dataset.text
    features = dataset.visual_features if modality == "visual" else dataset.text_features
    labels = {dataset.graph.entities[int(row)] for row in kept}
    if raw is not None:
        raw = replace(raw, lists={label: tokens for label, tokens in raw.lists.items() if label in labels})
    if features is not None:
        mask = np.zeros(len(features.present), np.bool_)
        mask[kept] = True
        features = Features(np.where(mask[:, None], features.vectors, np.float32(0)), features.present & mask)
    if modality == "visual":
        images = {label: files for label, files in dataset.images.items() if label in labels}
        return replace(dataset, visual=raw, visual_features=features, images=images)
    descriptions = {label: text for label, text in dataset.descriptions.items() if label in labels}
    # Entities without an entry here are no candidates of MKGformer; their label is what is left to tell them by.
    texts = {label: text if label in labels else label for label, text in dataset.entity_texts.items()}
    return replace(dataset, text=raw, text_features=features, descriptions=descriptions, entity_texts=texts)


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
            vectors[row] = raw.codebook[np.asarray(tokens)].mean(axis=0)
            present[row] = True
    return Features(vectors, present)
