"""The SDK's kernels as a contender of scans: launched on a stream and looked at afterwards, where they can be.

NEVER RUN ON A GPU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmkg_sdk.backends.tables import rank_table
from mmkg_sdk.errors import BackendError
from mmkg_sdk.ranking.exact import TopK
from mmkg_sdk.ranking.scores import CandidateScore

from ..machine.clock import ClockKind, HostClock, open_clock
from .calls import Arrays, Call
from .scans import Scans, Table

if TYPE_CHECKING:
    from mmkg_sdk.kernels.gpu import GpuArray
    from mmkg_sdk.kernels.gpu.scan import GpuScan


class LaunchedScan:
    """One launch, which can be captured; queries that it is not certain of are asked again when answers are fetched."""

    whole: str | None = None
    waits: str | None = None
    graphless: str | None = None

    def __init__(self, scan: GpuScan, turns: list[Table], k: int) -> None:
        from mmkg_sdk.kernels.gpu.answers import TopKOnGpu

        self._scan, self._turns, self._k = scan, turns, k
        self._stream = scan.gpu.stream()
        self._answers = TopKOnGpu(scan.gpu, len(turns[0]), k)
        self._queries: GpuArray | None = None
        self.stream = self._stream.handle

    def load(self, turn: int) -> None:
        """See Call."""
        self._queries = self._scan.gpu.array(self._turns[turn], self._stream)

    def run(self) -> None:
        """See Call."""
        assert self._queries is not None
        self._scan.launch_top_k(self._queries, self._answers, self._stream)

    def fetch(self) -> Arrays:
        """See Call."""
        assert self._queries is not None
        found, certain = self._answers.read(self._stream)
        if not certain.all():  # the whole batch, to keep this short: it is rare, and its price is to be seen
            found = self._scan.top_k(self._queries, self._k, stream=self._stream.handle)
        return _arrays(found)


class WaitingScan:
    """From queries on the host: what has no launch of its own, and processors."""

    whole: str | None = None
    waits: str | None = "the answers are looked at on the host, and copied there within it"
    graphless = waits

    def __init__(self, top_k: Callable[[Table, int], TopK], turns: list[Table], k: int) -> None:
        self._top_k, self._turns, self._k = top_k, turns, k
        self._queries: NDArray[np.float32] = turns[0]
        self._found: TopK | None = None

    def load(self, turn: int) -> None:
        """See Call."""
        self._queries = self._turns[turn]

    def run(self) -> None:
        """See Call; copies to and from the device are part of it."""
        self._found = self._top_k(self._queries, self._k)

    def fetch(self) -> Arrays:
        """See Call."""
        assert self._found is not None
        return _arrays(self._found)


def kernel_scans(table: Table, score: CandidateScore, kind: ClockKind, device: str, threads: int) -> Scans:
    """The kernels on the device; on a processor those that stand for them in tests.

    Raises:
        BackendError: there are no kernels for the GPU or the score.
    """
    if kind == "host":
        ranking = rank_table(table, score, device=device, threads=threads)
        return Scans(lambda call: HostClock(), lambda turns, k: WaitingScan(ranking.top_k, turns, k))
    from mmkg_sdk.kernels.gpu.scan import GpuScan

    if not GpuScan.supports(table, score):
        ranking = rank_table(table, score, device=device, threads=threads)
        if not ranking.on_device:
            raise BackendError(f"the table is ranked by {ranking.name}, which is not what is measured here")
        return Scans(lambda call: HostClock(), lambda turns, k: _whole(WaitingScan(ranking.top_k, turns, k)))
    scan = GpuScan(table, score, device)

    def opened(turns: list[Table], k: int) -> Call:
        if len(turns[0]) <= scan.largest_launch(k):
            return LaunchedScan(scan, turns, k)
        return _whole(WaitingScan(scan.top_k, turns, k))

    def clock(call: Any) -> Any:
        return open_clock(kind, device, getattr(call, "stream", 0), torch=False)

    return Scans(clock, opened)


def _whole(call: WaitingScan) -> WaitingScan:
    call.whole = "the kernels are asked from host to host: the batch is answered in several launches"
    return call


def _arrays(found: TopK) -> Arrays:
    batch = len(found.offsets) - 1
    return {"ids": found.ids.reshape(batch, -1), "scores": found.scores.reshape(batch, -1)}
