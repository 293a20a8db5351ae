"""TopKOnGpu: where a launch of top-k writes its answers, and the zeros that stand for no exclusions.

NOT RUN ON A GPU YET; see GpuScan.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ...ranking.exact import TopK
from .device import Gpu, Stream

_CERTAIN = 1  # MMKG_CERTAIN
_ALIGNMENT = 256
_BYTES = (8, 4, 8, 4)  # of a number: ids, scores, counts, certificates


class TopKOnGpu:
    """Memory for the answers of up to `batch` queries, in one piece that one copy brings to the host.

    Attributes:
        batch, k: at most and exactly.
        memory: all of it, uint8; for a copy to the host that `answers` reads.
        ids, scores, counts, certificates: addresses on the GPU; of mmkg_gpu_top_k_launch.
        no_offsets: address of batch + 1 zeros, for queries without excluded rows.
    """

    def __init__(self, gpu: Gpu, batch: int, k: int) -> None:
        self.batch, self.k = batch, k
        self._starts = [0]
        for part_bytes in (_BYTES[0] * batch * k, _BYTES[1] * batch * k, _BYTES[2] * batch, _BYTES[3] * batch):
            self._starts.append(self._starts[-1] + -(-part_bytes // _ALIGNMENT) * _ALIGNMENT)
        self.memory = gpu.empty(self._starts[-1], np.uint8)
        self._zeros = gpu.array(np.zeros(batch + 1, np.int64))
        self.ids, self.scores, self.counts, self.certificates = (self.memory.pointer + at for at in self._starts[:-1])
        self.no_offsets = self._zeros.pointer

    def read(self, stream: Stream, batch: int | None = None) -> tuple[TopK, NDArray[np.bool_]]:
        """The answers that the stream wrote, and whether each is certain; waits for the stream.

        Args:
            batch: queries of the launch; None: as many as there is memory for.

        Returns:
            Answers of the certain queries, none for the others, which `GpuScan.top_k` answers; and bool [batch].
        """
        return self.answers(self.memory.numpy(stream), self.batch if batch is None else batch, self.k)

    def answers(self, host: NDArray[np.uint8], batch: int, k: int) -> tuple[TopK, NDArray[np.bool_]]:
        """What `read` gives, of a copy of `memory`: of its first queries, at most k of each."""
        ids, scores = (
            self._part(host, place, dtype, batch * self.k).reshape(batch, self.k)[:, :k]
            for place, dtype in ((0, np.int64), (1, np.float32))
        )
        certain: NDArray[np.bool_] = self._part(host, 3, np.int32, batch) == _CERTAIN
        counts = np.where(certain, np.minimum(self._part(host, 2, np.int64, batch), k), 0)
        found = np.arange(k) < counts[:, None]
        return TopK(np.concatenate([[0], counts.cumsum()]), ids[found], scores[found]), certain

    def _part(self, host: NDArray[np.uint8], place: int, dtype: DTypeLike, size: int) -> NDArray[Any]:
        start = self._starts[place]
        return host[start : start + size * _BYTES[place]].view(dtype)
