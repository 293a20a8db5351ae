"""CompiledQuery: what makes query vectors of a MyGO bundle on the CPU in place of its query graph."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...backends.compiled import CompiledGraph, Weights, as_float32, kernels_absence
from ...bundle import Bundle
from ...errors import BackendError
from ...kernels import QueryContext, TuckerCore
from ...ranking.known_triples import Queries
from .config import MyGOConfig

QUERY_GRAPH = "query_encoder"
_CORE = "core."


def compiled_query(bundle: Bundle, device: str, threads: int | None) -> CompiledQuery | None:
    """What makes query vectors; None where there are no kernels for the device: the graph does."""
    return None if kernels_absence(device) else CompiledQuery(bundle, threads)


@dataclass(frozen=True)
class _Kernels:
    """The transformer, and the Tucker core behind it where the model has one."""

    context: QueryContext
    core: TuckerCore | None


class CompiledQuery:
    """The query graph of a bundle. Safe to call from several threads.

    Weights in half precision are multiplied as the float32 numbers that they are, and all sums are float32, so nothing
    is rounded to half precision on the way as the graph rounds it. They are read with the first query.
    """

    def __init__(self, bundle: Bundle, threads: int | None) -> None:
        heads = MyGOConfig.of(bundle.config).num_heads

        def kernels(weights: Weights) -> _Kernels:
            core = {name: weights.pop(name) for name in list(weights) if name.startswith(_CORE)}
            context = QueryContext({name: as_float32(array) for name, array in weights.items()}, heads, threads)
            return _Kernels(context, _tucker_core(core, threads) if core else None)

        self._graph = CompiledGraph(bundle, QUERY_GRAPH, kernels)

    def query_vectors(self, table: NDArray[np.float32], queries: Queries) -> NDArray[np.float32]:
        """float32 [batch, width], finite.

        Args:
            table: float32 [entities, width], those added later included.

        Raises:
            BackendError: the weights do not fit, or a vector is not finite.
        """
        kernels = self._graph.kernel()
        vectors, relation = kernels.context.encode(table, queries.entity, queries.relation, queries.direction)
        if kernels.core is not None:
            vectors = kernels.core.apply(vectors, relation)
        if not np.isfinite(vectors).all():
            raise BackendError(
                f"{QUERY_GRAPH} gave NaN or infinity: float32 cannot hold what the weights make of a query. Export "
                "from a sound run."
            )
        return vectors


def _tucker_core(weights: Weights, threads: int | None) -> TuckerCore:
    names = tuple(_CORE + name for name in ("multiplied_core", "relation.multiplied_weight", "relation.bias"))
    if set(weights) != set(names):
        raise BackendError(f"the core has weights {sorted(weights)!r:.200}. Export the bundle again.")
    core, relation_weight, shift = (weights[name] for name in names)
    return TuckerCore(core, relation_weight, shift, threads)
