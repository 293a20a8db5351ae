"""DeviceClock: what times work on a device, and the one of the host that stands for it in tests.

NEVER RUN ON A GPU. The clocks of a GPU are in device_clocks.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Literal, Protocol

import numpy as np

from mmkg_sdk.errors import BackendError

ClockKind = Literal["device", "host"]
# Larger than the first and second level of a processor's caches, and quickly written.
_HOST_CACHE_BYTES = 8 << 20


class DeviceClock(Protocol):
    """Times what is put on one stream of a device."""

    @property
    def stream(self) -> int:
        """CUstream handle; 0 on a processor."""
        ...

    def mark(self) -> Any:
        """A place after all work that the stream has now; does not wait."""
        ...

    def elapsed_ms(self, first: Any, last: Any) -> float:
        """Milliseconds between two marks on the device; waits for the later one."""
        ...

    def synchronize(self) -> None:
        """Wait for the stream's work.

        Raises:
            BackendError: it failed.
        """
        ...

    def flush_cache(self) -> None:
        """Put work on the stream that leaves nothing of what was read before in the last cache."""
        ...

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """`work` as a CUDA graph; the result puts it on the stream.

        Raises:
            BackendError: it cannot be captured.
        """
        ...


class HostClock:
    """A processor's: what it times has happened when the call returns."""

    def __init__(self) -> None:
        self._swept = np.zeros(_HOST_CACHE_BYTES, np.uint8)

    @property
    def stream(self) -> int:
        """See DeviceClock."""
        return 0

    def mark(self) -> float:
        """See DeviceClock."""
        return time.perf_counter()

    def elapsed_ms(self, first: float, last: float) -> float:
        """See DeviceClock."""
        return 1e3 * (last - first)

    def synchronize(self) -> None:
        """See DeviceClock."""

    def flush_cache(self) -> None:
        """See DeviceClock."""
        self._swept += 1

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """See DeviceClock."""
        raise BackendError("a processor has no CUDA graphs")


def open_clock(kind: ClockKind, device: str, stream: int, *, torch: bool) -> DeviceClock:
    """A clock.

    Args:
        kind: "host" stands for a GPU in tests.
        device: "cuda" or "cuda:N".
        stream: CUstream handle of the work; 0 is the default stream.
        torch: time by torch's events, because torch does the work.

    Raises:
        BackendError: neither the driver's library nor torch can time work there.
    """
    if kind == "host":
        return HostClock()
    from .device_clocks import driver_clock, torch_clock

    return torch_clock(device, stream) if torch else driver_clock(device, stream)
