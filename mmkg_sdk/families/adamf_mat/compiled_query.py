"""CompiledQuery: what makes query vectors of an AdaMF-MAT bundle in place of its query graph, on the CPU."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...backends.compiled import CompiledGraph, Weights, kernels_absence
from ...bundle import Bundle
from ...errors import BackendError
from ...kernels.rotation import Rotations
from ...ranking.known_triples import Queries

QUERY_GRAPH = "query_encoder"
_ROTATIONS = "rotations"


def compiled_query(bundle: Bundle, device: str) -> CompiledQuery | None:
    """What makes query vectors; None where there are no kernels for the device: the graph does."""
    return None if kernels_absence(device) else CompiledQuery(bundle)


class CompiledQuery:
    """The query graph of a bundle. Safe to call from several threads.

    Rotations are float32 in bundles of every precision: the graph has no weight that half precision or 8 bits would
    round. They are read, where they lie, with the first query.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._graph = CompiledGraph(bundle, QUERY_GRAPH, _rotations)

    def query_vectors(self, table: NDArray[np.float32], queries: Queries) -> NDArray[np.float32]:
        """float32 [batch, width], finite.

        Args:
            table: float32 [entities, width], those added later included.

        Raises:
            BackendError: the weights do not fit, or a vector is not finite.
        """
        return self._graph.kernel().apply(table, queries.entity, queries.relation, queries.direction)

    def placed_query_vectors(self, table: NDArray[np.float32], queries: Queries, stream: int) -> None:
        """None: it works on the CPU, where `query_vectors` gives them."""


def _rotations(weights: Weights) -> Rotations:
    if set(weights) != {_ROTATIONS}:
        raise BackendError(
            f"{QUERY_GRAPH} has weights {sorted(weights)!r:.200}; expected {[_ROTATIONS]}. Export the bundle again."
        )
    return Rotations(weights[_ROTATIONS])
