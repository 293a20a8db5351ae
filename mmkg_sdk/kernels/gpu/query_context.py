"""GpuQueryContext: what MyGO's query transformer makes of ids, on an NVIDIA GPU. NOT RUN ON A GPU YET."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import BackendError
from ..library import address
from ..query_context import QueryWeights
from .arguments import OnGpu, TableOnGpu, gpu_of, host_ids, placed, stream_on
from .device import GpuArray, Stream
from .library import check, gpu_library
from .tucker import GpuTuckerCore

_ON_HOST, _ON_GPU = 0, 1  # mmkg_place


class GpuQueryContext:
    """As `mmkg_sdk.kernels.QueryContext`, up to rounding.

    Sums are float32; of a product about 2^-21 is lost. On one GPU, what a query gives depends on that query, and on
    which of two kernels suits the padded batch (mmkg_gpu_padded_batch), alone. Safe to call from several threads.

    Args:
        weights, heads: as of QueryContext; the weights may go once it is open.
        device: "cuda" or "cuda:N".

    Raises:
        BackendError: no GPU, no kernels for it or for this width, not enough memory; a weight that is missing, unknown,
            misshapen or not finite.
    """

    def __init__(self, weights: Mapping[str, NDArray[Any]], heads: int, device: str = "cuda") -> None:
        described = QueryWeights(weights, heads)
        self.gpu = gpu_of(device)
        self.width, self._num_relations = described.width, described.num_relations
        self._handle = ctypes.c_void_p()
        arguments = (described.address, ctypes.byref(self._handle))
        check(gpu_library().mmkg_gpu_query_context_open(self.gpu.handle, *arguments))
        # At the end of the process the driver frees all.
        weakref.finalize(self, gpu_library().mmkg_gpu_query_context_close, self._handle).atexit = False

    def encode(
        self,
        table: NDArray[np.float32] | OnGpu,
        entity: NDArray[np.int64] | OnGpu,
        relation: NDArray[np.int64] | OnGpu,
        direction: NDArray[np.int64] | OnGpu,
        stream: Stream | int | None = None,
    ) -> tuple[GpuArray, GpuArray]:
        """What the last layer makes of the missing entity (the context) and of the relation.

        An id on the GPU that is out of range, or a row of the table that is not finite, gives NaN for its query and no
        other.

        Args:
            table: float32 [entities, width]; best on the GPU, where it is not copied with every call.
            entity, relation, direction: int64 [batch]: a row of the table, a relation, 0 (the tail is missing) or 1.
            stream: that the work is ordered on; also a CUstream handle. None is the legacy default stream.

        Returns:
            Context and relation, float32 [batch, width] each, on the GPU.

        Raises:
            BackendError: wrong shape or dtype, an id of the host that is out of range, not enough memory, a launch that
                failed.
        """
        on, batch, rows = stream_on(self.gpu, stream), entity.shape[0], table.shape[0]
        limits = {"entity": rows, "relation": self._num_relations, "direction": 2}
        ids = []
        for (name, limit), column in zip(limits.items(), (entity, relation, direction), strict=True):
            _check_ids(name, column, limit)
            ids.append(placed(self.gpu, name, column, np.int64, (batch,), on))
        known = placed(self.gpu, "table", table, np.float32, (rows, self.width), on)
        found = [self.gpu.empty((batch, self.width), np.float32, on) for _ in range(2)]
        places = [array.pointer for array in (*ids, *found)]
        check(gpu_library().mmkg_gpu_query_context_encode(self._handle, known.pointer, rows, batch, *places, on.handle))
        return found[0], found[1]

    def query_vectors(
        self,
        core: GpuTuckerCore | None,
        table: TableOnGpu,
        entity: NDArray[np.int64],
        relation: NDArray[np.int64],
        direction: NDArray[np.int64],
        stream: Stream | int | None = None,
    ) -> GpuArray:
        """The product that the core makes of context and relation, or the context without one, in one go.

        Args:
            core: of the same width and GPU.
            table: a row that is not finite gives NaN for its queries.
            entity, relation, direction: int64 [batch] on the host; see `encode`.
            stream: as of `encode`.

        Returns:
            float32 [batch, width] on the GPU. A row has the same bits in every batch of one padded size
            (mmkg_gpu_padded_batch).

        Raises:
            BackendError: wrong shape or dtype, an id that is out of range, not enough memory, a launch that failed.
        """
        on, batch = stream_on(self.gpu, stream), len(entity)
        ids = host_ids(entity, relation, direction)
        vectors = self.gpu.empty((batch, self.width), np.float32, on)
        self._launch(core, table, batch, [address(column) for column in ids], _ON_HOST, vectors.pointer, on)
        return vectors

    def launch_query_vectors(
        self,
        core: GpuTuckerCore | None,
        table: TableOnGpu,
        batch: int,
        ids: tuple[int, int, int],
        vectors: int,
        stream: Stream,
    ) -> None:
        """Put what `query_vectors` does on a stream; it is not waited for, and can be captured (`Stream.capture`).

        Args:
            ids: addresses on the GPU of entity, relation and direction, int64 [batch] each; as of `encode`.
            vectors: address on the GPU of float32 [batch, width], written.
        """
        self._launch(core, table, batch, ids, _ON_GPU, vectors, stream)

    def _launch(
        self,
        core: GpuTuckerCore | None,
        table: TableOnGpu,
        batch: int,
        ids: Sequence[int | None],
        place: int,
        vectors: int,
        stream: Stream,
    ) -> None:
        rows, width = table.shape
        if width != self.width:
            raise BackendError(f"the table: float32 [{rows}, {width}]; expected float32 [entities, {self.width}].")
        tucker = None if core is None else core.handle
        known = (table.pointer, rows, table.stride)
        check(
            gpu_library().mmkg_gpu_query_vectors(
                self._handle, tucker, *known, batch, *ids, place, vectors, stream.handle
            )
        )


def _check_ids(name: str, ids: NDArray[np.int64] | OnGpu, limit: int) -> None:
    if not isinstance(ids, np.ndarray) or ids.dtype != np.int64:
        return
    wrong = (ids < 0) | (ids >= limit)
    if wrong.any():
        query = int(np.argmax(wrong))
        raise BackendError(f"query {query}: {name} {ids[query]} is not from 0 to {limit - 1}.")
