"""CompiledQuery: what makes query vectors of an AdaMF-MAT bundle in place of its query graph, on the CPU or a GPU.

The GPU's kernel has never run on one; its bits are those of the CPU.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...backends.captured import QueriesOnGpu
from ...backends.compiled import CompiledGraph, Weights, kernels_absence
from ...backends.streams import own_stream
from ...bundle import Bundle
from ...errors import BackendError
from ...kernels import Rotations
from ...kernels.gpu import GpuArray, gpu_kernels_absence
from ...kernels.gpu.arguments import TableOnGpu
from ...kernels.gpu.rotation import GpuRotations
from ...ranking.known_triples import Queries

QUERY_GRAPH = "query_encoder"
_ROTATIONS = "rotations"


def absence(device: str) -> str | None:
    """Why the compiled kernels cannot make query vectors on a device; None if they can."""
    return gpu_kernels_absence(device) if device.startswith("cuda") else kernels_absence(device)


def compiled_query(bundle: Bundle, device: str) -> CompiledQuery | None:
    """What makes query vectors; None where `absence` says why not: the graph does."""
    return None if absence(device) else CompiledQuery(bundle, device)


class CompiledQuery:
    """The query graph of a bundle. Safe to call from several threads.

    Rotations are float32 in bundles of every precision: the graph has no weight that half precision or 8 bits would
    round. They are read with the first query; on the CPU where they lie, to a GPU they are copied.

    Args:
        device: "cpu", "cuda" or "cuda:N".
    """

    def __init__(self, bundle: Bundle, device: str = "cpu") -> None:
        self._device = device

        def kernels(weights: Weights) -> Rotations | GpuRotations:
            rotations = _rotations(weights)
            return Rotations(rotations) if device == "cpu" else GpuRotations(rotations, device)

        self._graph: CompiledGraph[Rotations | GpuRotations] = CompiledGraph(bundle, QUERY_GRAPH, kernels)

    def query_vectors(self, table: NDArray[np.float32] | TableOnGpu, queries: Queries) -> NDArray[np.float32]:
        """float32 [batch, width], finite.

        Args:
            table: float32 [entities, width], those added later included. One of the host is copied to a GPU with every
                call: there, give the one that the scan has.

        Raises:
            BackendError: the weights do not fit, or a vector is not finite.
        """
        kernels = self._graph.kernel()
        if isinstance(kernels, Rotations):
            assert isinstance(table, np.ndarray)  # the table of a GPU comes with kernels for it
            return kernels.vectors(table, queries)
        vectors = _placed(kernels, table, queries, own_stream(self._device)).numpy()
        if not np.isfinite(vectors).all():
            raise BackendError(
                f"{QUERY_GRAPH} gave NaN or infinity: a row of the table is not finite, or float32 cannot hold its "
                "product with the rotations. Export from a sound run."
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
        return None if isinstance(kernels, Rotations) else _placed(kernels, table, queries, stream)

    def on_gpu(self) -> QueriesOnGpu | None:
        """What makes query vectors within a CUDA graph; None on the CPU."""
        kernels = self._graph.kernel()
        return None if isinstance(kernels, Rotations) else kernels

    def on_cpu(self) -> Rotations | None:
        """What makes query vectors within an AnswerCall; None on a GPU."""
        kernels = self._graph.kernel()
        return kernels if isinstance(kernels, Rotations) else None


def _placed(kernels: GpuRotations, table: NDArray[np.float32] | TableOnGpu, queries: Queries, stream: int) -> GpuArray:
    placed = TableOnGpu.copied(kernels.gpu, table) if isinstance(table, np.ndarray) else table
    return kernels.query_vectors(placed, queries, stream)


def _rotations(weights: Weights) -> NDArray[np.float32]:
    if set(weights) != {_ROTATIONS}:
        raise BackendError(
            f"{QUERY_GRAPH} has weights {sorted(weights)!r:.200}; expected {[_ROTATIONS]}. Export the bundle again."
        )
    return weights[_ROTATIONS]
