"""The training examples of link prediction, and the order that they are asked in."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from ....errors import DataError
from ....ranking.known_triples import HEAD, TAIL, Queries
from ....run import Run
from ..config import MKGformerConfig
from ..examples import Examples
from ..texts.preparation import description_query, link_query, pad_rows
from .texts import stored_texts


def training_examples(run: Run, config: MKGformerConfig) -> Examples:
    """Stage 1 tells entities from their descriptions, stage 2 completes triples.

    Raises:
        DataError: stage 1 with "bce".
        QueryError: a text holds [MASK] or is too long for its query.
    """
    triples, texts = run.graph.train, stored_texts(run.inputs, config)
    queries: Queries | None = None
    if config.stage == 1:
        if config.loss == "bce":
            raise DataError("stage 1 has one right entity for each text; set loss to 'cross-entropy'.")
        entities = labels = np.arange(len(texts.entities))
        rows = [description_query(texts, entity) for entity in entities.tolist()]
    else:
        queries, labels = stage_2_queries(triples) if config.loss == "bce" else both_queries(triples)
        entities = queries.entity
        asked = zip(entities.tolist(), queries.relation.tolist(), queries.direction.tolist(), strict=True)
        rows = [link_query(texts, *query) for query in asked]
    input_ids, attention_mask = pad_rows(rows, texts.special.pad, length=config.max_length)
    image_rows = run.inputs["image_rows"][entities]
    arrays = (torch.as_tensor(array) for array in (input_ids, attention_mask, image_rows, labels))
    return Examples(*arrays, queries=queries)  # type: ignore[misc, arg-type]


def stage_2_queries(triples: NDArray[np.int64]) -> tuple[Queries, NDArray[np.int64]]:
    """The training queries of stage 2 with "bce", and the entity that each was made from (spec 6.6).

    For each distinct (head, relation) its first triple, then for each distinct (tail, relation) its first one; every
    such triple asks for its head, then for its tail. Some queries occur twice.

    Args:
        triples: int64 [n, 3] of the training split, in file order.
    """
    first = [np.unique(triples[:, columns], axis=0, return_index=True)[1] for columns in ([0, 1], [2, 1])]
    return both_queries(triples[np.concatenate([np.sort(rows) for rows in first])])


def both_queries(triples: NDArray[np.int64]) -> tuple[Queries, NDArray[np.int64]]:
    """Each triple asking for its head, then for its tail, and the missing entity, int64 [2 n]."""
    head, relation, tail = triples.T
    queries = Queries(
        np.stack([tail, head], axis=1).ravel(), relation.repeat(2), np.tile(np.array([HEAD, TAIL]), len(triples))
    )
    return queries, np.stack([head, tail], axis=1).ravel()
