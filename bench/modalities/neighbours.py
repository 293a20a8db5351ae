"""Baselines that train nothing: what is said of the entities most alike, by words or by looks.

Of texts the vector counts words, each by its inverse document frequency (tf-idf); of pictures it is the mean of their
views (`mmkg_sdk.modalities.image_views`), centred. Both have length 1, so that a product is a cosine.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmkg_sdk.data.graph import DataSet
from mmkg_sdk.data.mentions import LinkingData
from mmkg_sdk.errors import DataError
from mmkg_sdk.evaluation.entity_linking import evaluate_linking
from mmkg_sdk.evaluation.link_prediction import evaluate_link_prediction
from mmkg_sdk.modalities.image_views import image_views
from mmkg_sdk.modalities.pictures import rgb_picture
from mmkg_sdk.modalities.words import split_text
from mmkg_sdk.ranking.exact import RankingProtocol
from mmkg_sdk.ranking.known_triples import KnownTriples, Queries

Vectors = NDArray[np.float32]
# Of the entities of which an answer is known, so many most alike are asked.
NEIGHBOURS = 10
# Shared by all answers of a relation for how often they are given at all; it orders those that no neighbour gives.
_UNASKED = 1e-3


def word_vectors(texts: Sequence[str]) -> Vectors:
    """float32 [texts, distinct words]; zeros for a text without words."""
    counts = [Counter(text[start:end].casefold() for start, end in split_text(text)) for text in texts]
    documents = Counter(word for count in counts for word in count)
    column = {word: place for place, word in enumerate(documents)}
    vectors = np.zeros((len(texts), len(column)), np.float32)
    for row, count in enumerate(counts):
        for word, times in count.items():
            vectors[row, column[word]] = times * math.log(len(texts) / documents[word])
    return _of_length_one(vectors)


def look_vectors(pictures: Sequence[Sequence[Path]]) -> Vectors:
    """float32 [rows, numbers of all views]; zeros where there is no picture.

    Raises:
        DataError: one cannot be read, or there is none at all.
    """
    views = [[_seen(picture) for picture in some] for some in pictures]
    width = next((len(view) for some in views for view in some), None)
    if width is None:
        raise DataError("the data have no pictures, so nothing can be told by looks. Name data with pictures.")
    vectors = np.array([np.mean(some, axis=0) if some else np.full(width, np.nan) for some in views], np.float32)
    vectors -= np.nanmean(vectors, axis=0)
    return _of_length_one(np.nan_to_num(vectors))


def graph_neighbours(dataset: DataSet, vectors: Vectors) -> dict[str, float]:
    """Filtered metrics of the test triples: answers of the training triples of the entities most alike.

    Args:
        vectors: float32 [entities, any], of length 1 or 0.
    """
    graph = dataset.graph
    told = KnownTriples(graph.train)
    askers = {key: _askers(graph.train, *key) for key in _kinds(graph.train)}

    def scores(queries: Queries) -> Vectors:
        found = np.zeros((len(queries), len(graph.entities)), np.float32)
        for row, asked in enumerate(zip(queries.entity, queries.relation, queries.direction, strict=True)):
            entity, relation, direction = map(int, asked)
            known = askers.get((relation, direction), np.empty(0, np.int64))
            likeness = vectors[known] @ vectors[entity]
            likeness[known == entity] = 0.0
            nearest = np.argsort(-likeness, kind="stable")[:NEIGHBOURS]
            every = _questions(known, relation, direction)
            of_all = told.answers_of(every)
            np.add.at(found[row], of_all.ids, np.float32(_UNASKED / max(1, len(of_all.ids))))
            answers = told.answers_of(_questions(known[nearest], relation, direction))
            np.add.at(found[row], answers.ids, likeness[nearest][answers.rows()])
        return found

    report = evaluate_link_prediction(scores, graph.test, KnownTriples(graph.triples), RankingProtocol("floor"))
    return report.metrics("realistic")


def linking_neighbours(entities: Vectors, mentions: Vectors, data: LinkingData) -> dict[str, float]:
    """Metrics of the test mentions: the candidates most alike.

    Args:
        entities: float32 [candidates, any], of length 1 or 0.
        mentions: float32 [test mentions, any], likewise.
    """
    answers = np.array([one.entity for one in data.test])
    return evaluate_linking(lambda rows: mentions[rows] @ entities.T, answers).metrics()


def _seen(picture: Path) -> NDArray[np.int64]:
    try:
        return np.concatenate(image_views(rgb_picture(picture)))
    except ValueError as err:
        raise DataError(f"{picture} cannot be read: {err}. Replace it, or take it away.") from err


def _kinds(triples: NDArray[np.int64]) -> set[tuple[int, int]]:
    return {(int(relation), direction) for relation in np.unique(triples[:, 1]) for direction in (0, 1)}


def _askers(triples: NDArray[np.int64], relation: int, direction: int) -> NDArray[np.int64]:
    """The entities of which a relation is told, ascending."""
    return np.unique(triples[triples[:, 1] == relation, 2 if direction else 0])


def _questions(entities: NDArray[np.int64], relation: int, direction: int) -> Queries:
    return Queries(entities, np.full_like(entities, relation), np.full_like(entities, direction))


def _of_length_one(vectors: Vectors) -> Vectors:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Vectors = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    return unit
