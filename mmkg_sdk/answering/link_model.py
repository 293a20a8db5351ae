"""What verifying and saving ask of a Model, and the fixed questions to it (asked.py has those of the other tasks)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from ..backends import AnyArray, Backend
from ..bundle import Bundle
from ..families import contract
from ..families.entity_batch import EntityBatch
from ..files.labels import Labels
from ..ranking.known_triples import HEAD, TAIL, Queries
from .entity_table import EntityTable

# Queries, and those of them that are scored against every entity.
_QUERIES, _SCORED = 64, 4


class LinkModel(Protocol):
    """A Model (link_prediction.py)."""

    bundle: Bundle
    backend: Backend
    compiled: bool
    relations: Labels
    _entities: EntityTable

    @property
    def entities(self) -> Labels: ...

    def query_vectors(self, queries: Queries) -> NDArray[np.float32]: ...

    def score_queries(self, queries: Queries) -> NDArray[np.float32]: ...

    def encode_batch(self, batch: EntityBatch, graph: str | None = None) -> dict[str, NDArray[np.float32]]: ...

    def run_graph(
        self, graph: str, inputs: Mapping[str, AnyArray], needed: Iterable[str]
    ) -> dict[str, NDArray[Any]]: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: Any) -> None: ...


def link_answers(model: LinkModel) -> dict[str, NDArray[Any]]:
    """Queries of evenly spaced entities in both directions, and new entities."""
    count = min(_QUERIES, 2 * len(model.bundle.entities))
    entity = np.linspace(0, len(model.bundle.entities) - 1, count).astype(np.int64)
    turn = np.arange(count)
    queries = Queries(entity, turn // 2 % len(model.relations), np.where(turn % 2 == 0, TAIL, HEAD))
    scored = queries[slice(0, _SCORED)]
    found: dict[str, NDArray[Any]]
    found = {"queries": model.query_vectors(queries), "scores": model.score_queries(scored)}
    new = contract.link_runtime(model.bundle.family).new_entities(model.bundle)
    return found if new is None else {**found, "new_entities": model.encode_batch(new)["vectors"]}
