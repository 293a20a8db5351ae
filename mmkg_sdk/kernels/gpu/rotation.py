"""GpuRotations: from the ids of queries to entities rotated by relations, on an NVIDIA GPU. NOT RUN ON A GPU YET."""

from __future__ import annotations

import ctypes
import weakref

import numpy as np
from numpy.typing import NDArray

from ...errors import BackendError
from ...ranking.known_triples import Queries
from ..library import address
from ..rotation import Rotations
from .arguments import TableOnGpu, gpu_of, host_ids, stream_on
from .device import GpuArray, Stream
from .library import check, gpu_library

_ON_HOST, _ON_GPU = 0, 1  # mmkg_place


class GpuRotations:
    """As `mmkg_sdk.kernels.Rotations`, to the bit, with a copy of the rotations on the GPU.

    Safe to call from several threads.

    Args:
        rotations: float32 [relations, width], cosines, then sines; they may go once it is open.
        device: "cuda" or "cuda:N".

    Raises:
        BackendError: no GPU, no kernels for it, not enough memory; rotations that are not float32, of an odd width, or
            not finite.
    """

    def __init__(self, rotations: NDArray[np.float32], device: str = "cuda") -> None:
        checked = Rotations(rotations)
        self.gpu = gpu_of(device)
        self.width = checked.width
        self._handle = ctypes.c_void_p()
        opened = (*checked.arguments(), self.width, ctypes.byref(self._handle))
        check(gpu_library().mmkg_gpu_rotation_open(self.gpu.handle, *opened))
        # At the end of the process the driver frees all.
        weakref.finalize(self, gpu_library().mmkg_gpu_rotation_close, self._handle).atexit = False

    def query_vectors(self, table: TableOnGpu, queries: Queries, stream: Stream | int | None = None) -> GpuArray:
        """The known entity of each query, rotated to where the answer should be.

        Args:
            table: a row that is not finite gives NaN or infinity for its queries.
            queries: int64 [batch] each, on the host.
            stream: that the work is ordered on; also a CUstream handle. None is the legacy default stream.

        Returns:
            float32 [batch, width] on the GPU.

        Raises:
            BackendError: wrong shape or dtype, an id that is out of range, not enough memory, a launch that failed.
        """
        on, batch = stream_on(self.gpu, stream), len(queries)
        ids = host_ids(queries.entity, queries.relation, queries.direction)
        vectors = self.gpu.empty((batch, self.width), np.float32, on)
        entity, relation, direction = (address(column) or 0 for column in ids)
        self._apply(table, batch, (entity, relation, direction), _ON_HOST, vectors.pointer, on)
        return vectors

    def launch(self, table: TableOnGpu, batch: int, ids: tuple[int, int, int], vectors: int, stream: Stream) -> None:
        """Put what `query_vectors` does on a stream, which may be in a capture; see backends/captured.QueriesOnGpu."""
        self._apply(table, batch, ids, _ON_GPU, vectors, stream)

    def _apply(
        self, table: TableOnGpu, batch: int, ids: tuple[int, int, int], place: int, vectors: int, stream: Stream
    ) -> None:
        rows, width = table.shape
        if width != self.width:
            raise BackendError(f"the table: float32 [{rows}, {width}]; expected float32 [entities, {self.width}].")
        known = (table.pointer, rows, table.stride)
        check(gpu_library().mmkg_gpu_rotation_apply(self._handle, *known, batch, *ids, place, vectors, stream.handle))
