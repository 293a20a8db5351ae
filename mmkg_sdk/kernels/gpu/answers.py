"""TopKOnGpu: where a launch of top-k writes its answers, and the zeros that stand for no exclusions.

NOT RUN ON A GPU YET; see GpuScan.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...ranking.exact import TopK
from .device import Gpu, Stream

_CERTAIN = 1  # MMKG_CERTAIN
_ALIGNMENT = 256
_BYTES = (8, 4, 8, 4)  # of a number: ids, scores, counts, certificates


class TopKOnGpu:
    """Memory for the answers of up to `batch` queries, in one piece that one copy brings to the host.

    Attributes:
        batch, k: at most and exactly.
        ids, scores, counts, certificates: addresses on the GPU; of mmkg_gpu_top_k_launch.
        no_offsets: address of batch + 1 zeros, for queries without excluded rows.
    """

    def __init__(self, gpu: Gpu, batch: int, k: int) -> None:
        self.batch, self.k = batch, k
        self._starts = [0]
        for part_bytes in (_BYTES[0] * batch * k, _BYTES[1] * batch * k, _BYTES[2] * batch, _BYTES[3] * batch):
            self._starts.append(self._starts[-1] + -(-part_bytes // _ALIGNMENT) * _ALIGNMENT)
        self._memory = gpu.empty(self._starts[-1], np.uint8)
        self._zeros = gpu.array(np.zeros(batch + 1, np.int64))
        self.ids, self.scores, self.counts, self.certificates = (self._memory.pointer + at for at in self._starts[:-1])
        self.no_offsets = self._zeros.pointer

    def read(self, stream: Stream, batch: int | None = None) -> tuple[TopK, NDArray[np.bool_]]:
        """The answers that the stream wrote, and whether each is certain; waits for the stream.

        Args:
            batch: queries of the launch; None: as many as there is memory for.

        Returns:
            Answers of the certain queries, none for the others, which `GpuScan.top_k` answers; and bool [batch].
        """
        host = self._memory.numpy(stream)
        batch = self.batch if batch is None else batch
        scores = self._part(host, 1, batch * self.k).view(np.float32)
        certain: NDArray[np.bool_] = self._part(host, 3, batch).view(np.int32) == _CERTAIN
        ids, counts = (
            self._part(host, place, size).view(np.int64) for place, size in ((0, batch * self.k), (2, batch))
        )
        counts = np.where(certain, counts, 0)
        found = (np.arange(self.k) < counts[:, None]).ravel()
        return TopK(np.concatenate([[0], counts.cumsum()]), ids[found], scores[found]), certain

    def _part(self, host: NDArray[np.uint8], place: int, size: int) -> NDArray[np.uint8]:
        start = self._starts[place]
        return host[start : start + size * _BYTES[place]]
