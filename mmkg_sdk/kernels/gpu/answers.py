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
        for part_bytes in (8 * batch * k, 4 * batch * k, 8 * batch, 4 * batch):
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
        ids, scores, counts, certificates = (
            host[start : start + count * np.dtype(kind).itemsize].view(kind)
            for start, kind, count in (
                (self._starts[0], np.int64, batch * self.k),
                (self._starts[1], np.float32, batch * self.k),
                (self._starts[2], np.int64, batch),
                (self._starts[3], np.int32, batch),
            )
        )
        certain = certificates == _CERTAIN
        counts = np.where(certain, counts, 0)
        found = (np.arange(self.k) < counts[:, None]).ravel()
        return TopK(np.concatenate([[0], counts.cumsum()]), ids[found], scores[found]), certain
