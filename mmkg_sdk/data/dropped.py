"""Modalities of a data set left out on purpose, to see what they are worth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..registry import PUBLISHED_MODALITIES, said_modality
from .graph import SPLITS, DataSet, Features
from .mentions import LabelledMention, LinkingData
from .open import AnyData
from .sentences import RelationData, RelationSentence, SentenceImages, TaggedSentence, TaggingData

_One = TypeVar("_One")
_Sentences = TypeVar("_Sentences", RelationData, TaggingData)
_Sentence = TypeVar("_Sentence", RelationSentence, TaggedSentence)


def drop_modalities(dataset: AnyData, shares: Mapping[str, float], seed: int) -> AnyData:
    """The data set in which a random share of the entities, mentions or sentences lacks a modality; for experiments.

    Of linking data the entities lose their image or text, and as large a share of each split's mentions its image or
    sentence; names stay. Sentences of the other tasks lose their images.

    Args:
        shares: "image", "text" or a further modality -> share of all that loses it, 0 to 1.
        seed: of the choice.

    Raises:
        DataError: a modality that such data do not have, or a share out of range.
    """
    if isinstance(dataset, DataSet):
        modalities = dataset.modalities
    else:
        modalities = PUBLISHED_MODALITIES if isinstance(dataset, LinkingData) else ("visual",)
    known = {said_modality(modality): modality for modality in modalities}
    for name, share in shares.items():
        if name not in known or type(share) not in (int, float) or not 0 <= share <= 1:
            raise DataError(f"cannot drop {name}={share}; expected {' or '.join(known)}, and a share from 0 to 1.")
        kept = _Kept(share, np.random.default_rng([seed, list(known).index(name)]))
        if isinstance(dataset, DataSet):
            dataset = _graph_with(dataset, known[name], kept.of(len(dataset.graph.entities)))
        elif isinstance(dataset, LinkingData):
            dataset = _linking_with(dataset, known[name], kept)
        elif isinstance(dataset, RelationData):  # the same as below, but each keeps its type
            dataset = _sentences_with_images(dataset, kept)
        else:
            dataset = _sentences_with_images(dataset, kept)
    return dataset


class _Kept:
    """Which rows keep a modality, drawn anew for each list of them."""

    def __init__(self, share: float, draws: np.random.Generator) -> None:
        self._share, self._draws = share, draws

    def of(self, count: int) -> NDArray[np.int64]:
        """Rows of `count`, ascending."""
        order = self._draws.permutation(count)
        return np.sort(order[round(self._share * count) :])


def _graph_with(dataset: DataSet, modality: str, kept: NDArray[np.int64]) -> DataSet:
    """A knowledge graph with one modality for the kept rows alone."""
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


def _linking_with(data: LinkingData, modality: str, kept: _Kept) -> LinkingData:
    """Entities and mentions with one modality for some alone."""

    def bare(mention: LabelledMention) -> LabelledMention:
        return replace(mention, image=None) if modality == "visual" else replace(mention, sentence="")

    rows = set(kept.of(len(data.entities)).tolist())
    train, valid, test = (_with_bare(data.split(split), kept, bare) for split in SPLITS)
    data = replace(data, train=train, valid=valid, test=test)
    if modality == "visual":
        return replace(data, images=tuple(image if row in rows else None for row, image in enumerate(data.images)))
    return replace(data, texts=tuple(text if row in rows else "" for row, text in enumerate(data.texts)))


def _sentences_with_images(data: _Sentences, kept: _Kept) -> _Sentences:
    """Sentences of which some alone have their images."""

    def bare(sentence: _Sentence) -> _Sentence:
        return replace(sentence, images=SentenceImages())

    train, valid, test = (_with_bare(data.split(split), kept, bare) for split in SPLITS)
    return replace(data, train=train, valid=valid, test=test)


def _with_bare(told: Sequence[_One], kept: _Kept, bare: Callable[[_One], _One]) -> tuple[_One, ...]:
    """One after the other, those that do not keep the modality without it."""
    rows = set(kept.of(len(told)).tolist())
    return tuple(one if row in rows else bare(one) for row, one in enumerate(told))
