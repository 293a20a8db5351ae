"""CompiledQuery: what makes query vectors of a MyGO bundle in place of its query graph, on the CPU or a GPU.

The GPU's kernels have never run on one.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...backends.captured import QueriesOnGpu
from ...backends.compiled import CompiledGraph, Weights, as_float32
from ...bundle import Bundle
from ...errors import BackendError
from ...kernels import QueryContext, TransformedQueries, TuckerCore
from ...kernels.gpu import GpuArray, Stream
from ...kernels.gpu.arguments import TableOnGpu
from ...kernels.gpu.query_context import GpuQueryContext
from ...kernels.gpu.tucker import GpuTuckerCore
from ...ranking.known_triples import Queries
from .compiled_layers import layers_absence
from .config import MyGOConfig

QUERY_GRAPH = "query_encoder"
_CORE = "core."


def compiled_query(bundle: Bundle, device: str, threads: int | None) -> CompiledQuery | None:
    """What makes query vectors; None where there are no kernels for the device: the graph does."""
    return None if layers_absence(bundle, device) else CompiledQuery(bundle, threads, device)


class _OnGpu:
    """The same on a GPU, of a table that lies there."""

    def __init__(self, context: GpuQueryContext, core: GpuTuckerCore | None) -> None:
        self._context, self._core = context, core
        self._streams = threading.local()

    def vectors(self, table: NDArray[np.float32] | TableOnGpu, queries: Queries) -> NDArray[np.float32]:
        if not hasattr(self._streams, "mine"):
            self._streams.mine = self._context.gpu.stream()  # of the calling thread
        return self.placed_vectors(table, queries, self._streams.mine).numpy()

    def placed_vectors(
        self, table: NDArray[np.float32] | TableOnGpu, queries: Queries, stream: Stream | int
    ) -> GpuArray:
        placed = TableOnGpu.copied(self._context.gpu, table) if isinstance(table, np.ndarray) else table
        ids = queries.entity, queries.relation, queries.direction
        return self._context.query_vectors(self._core, placed, *ids, stream)

    def launch(self, table: TableOnGpu, batch: int, ids: tuple[int, int, int], vectors: int, stream: Stream) -> None:
        """See QueriesOnGpu."""
        self._context.launch_query_vectors(self._core, table, batch, ids, vectors, stream)


class CompiledQuery:
    """The query graph of a bundle. Safe to call from several threads.

    Weights in half precision are multiplied as the float32 numbers that they are, and all sums are float32, so nothing
    is rounded to half precision on the way as the graph rounds it. They are read with the first query.

    Args:
        threads: of a call on the CPU; None takes `mmkg_sdk.kernels.default_threads()`.
        device: "cpu", "cuda" or "cuda:N".
    """

    def __init__(self, bundle: Bundle, threads: int | None, device: str = "cpu") -> None:
        heads = MyGOConfig.of(bundle.config).num_heads

        def kernels(weights: Weights) -> TransformedQueries | _OnGpu:
            if device == "cpu":
                return cpu_kernels(weights, heads, threads)
            core = _core_weights(weights)
            wide = {name: as_float32(array) for name, array in weights.items()}
            return _OnGpu(GpuQueryContext(wide, heads, device), GpuTuckerCore(*core, device) if core else None)

        self._graph = CompiledGraph(bundle, QUERY_GRAPH, kernels)

    def query_vectors(self, table: NDArray[np.float32] | TableOnGpu, queries: Queries) -> NDArray[np.float32]:
        """float32 [batch, width], finite.

        Args:
            table: float32 [entities, width], those added later included. One of the host is copied to a GPU with every
                call: there, give the one that the scan has.

        Raises:
            BackendError: the weights do not fit, or a vector is not finite.
        """
        kernels = self._graph.kernel()
        if isinstance(kernels, _OnGpu):
            vectors = kernels.vectors(table, queries)
        else:
            assert isinstance(table, np.ndarray)  # the table of a GPU comes with kernels for it
            vectors = kernels.vectors(table, queries)
        if not np.isfinite(vectors).all():
            raise BackendError(
                f"{QUERY_GRAPH} gave NaN or infinity: float32 cannot hold what the weights make of a query. Export "
                "from a sound run."
            )
        return vectors

    def placed_query_vectors(
        self, table: NDArray[np.float32] | TableOnGpu, queries: Queries, stream: int
    ) -> GpuArray | None:
        """float32 [batch, width] on the GPU, in the order of a stream; not waited for, and so not checked.

        Args:
            table: as of `query_vectors`.
            stream: CUstream handle.

        Returns:
            None on the CPU, where `query_vectors` gives them.
        """
        kernels = self._graph.kernel()
        return kernels.placed_vectors(table, queries, stream) if isinstance(kernels, _OnGpu) else None

    def on_gpu(self) -> QueriesOnGpu | None:
        """What makes query vectors within a CUDA graph; None on the CPU."""
        kernels = self._graph.kernel()
        return kernels if isinstance(kernels, _OnGpu) else None

    def on_cpu(self) -> TransformedQueries | None:
        """What makes query vectors within an AnswerCall; None on a GPU."""
        kernels = self._graph.kernel()
        return kernels if isinstance(kernels, TransformedQueries) else None


def cpu_kernels(weights: Weights, heads: int, threads: int | None) -> TransformedQueries:
    """From the weights of the graph by name, in the precision of a bundle.

    Raises:
        BackendError: the weights do not fit.
    """
    core = _core_weights(weights)
    context = QueryContext({name: as_float32(array) for name, array in weights.items()}, heads, threads)
    return TransformedQueries(context, TuckerCore(*core, threads) if core else None)


def _core_weights(weights: Weights) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]] | None:
    """Core, relation weight and shift, taken out of the weights of the graph; None where the model has no core."""
    core = {name: weights.pop(name) for name in list(weights) if name.startswith(_CORE)}
    if not core:
        return None
    names = tuple(_CORE + name for name in ("multiplied_core", "relation.multiplied_weight", "relation.bias"))
    if set(core) != set(names):
        raise BackendError(f"the core has weights {sorted(core)!r:.200}. Export the bundle again.")
    return core[names[0]], core[names[1]], core[names[2]]
