"""What reaches the ceilings of a GPU, in a process of its own (worker.py): copying, products, and the smallest launch.

NEVER RUN ON A GPU: the tests walk this code on a processor, with small sizes and a clock of the host.

The job says device, seconds and, in tests, clock ("host") and scale (a share of the sizes). One request, an empty JSON
object, and one reply, `Ceilings.to_json()`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from mmkg_sdk.errors import MmkgError

from .ceilings import GPU_ARITHMETIC, Ceilings, Rate
from .clock import DeviceClock, open_clock
from .timing import MIN_SAMPLES
from .worker import Answer

# Beyond any cache: bytes that are copied, of which each is read and written.
_COPIED = 1 << 30
# Sides of the products: large enough that a tile's start and end do not count.
_SIDES = (4096, 8192)
# Launches that follow each other, by which one is known.
_LAUNCHES = 200


def open_worker(job: Mapping[str, Any]) -> Answer:
    """What measures when asked.

    Raises:
        ImportError: torch is not installed, whose copies and products these are.
        BackendError: torch has no such device.
    """
    import torch

    torch.backends.cuda.matmul.allow_tf32 = False
    device, scale = job["device"], job.get("scale", 1.0)
    clock = open_clock(job.get("clock", "device"), device, 0, torch=True)

    def measured(request: Mapping[str, Any]) -> dict[str, Any]:
        best = _Best(clock, job["seconds"])
        with best.on_stream(device):
            copying = _copying(best, device, scale)
            arithmetic = {kind: _products(best, device, kind, scale) for kind in GPU_ARITHMETIC}
            return Ceilings(copying, arithmetic, launch_us=_launch_us(best, device)).to_json()

    return measured


class _Best:
    """The best rate of what is called again and again for a while."""

    def __init__(self, clock: DeviceClock, seconds: float) -> None:
        self._clock, self._seconds = clock, seconds

    def on_stream(self, device: str) -> Any:
        """Within it, torch's work is on the clock's stream."""
        import torch

        cuda: Any = torch.cuda  # whose streams have no types
        return cuda.stream(cuda.ExternalStream(self._clock.stream, device) if self._clock.stream else None)

    def least_ms(self, work: Callable[[], object]) -> float:
        """Milliseconds of the quickest call, after one that does not count."""
        work()
        self._clock.synchronize()
        found: list[float] = []
        began = time.perf_counter()
        while len(found) < MIN_SAMPLES or time.perf_counter() - began < self._seconds:
            first = self._clock.mark()
            work()
            found.append(self._clock.elapsed_ms(first, self._clock.mark()))
        return min(found)

    def rate(self, work: Callable[[], object], amount: float, name: str) -> Rate:
        """10^9 bytes or operations per second."""
        try:
            return Rate(round(amount / self.least_ms(work) / 1e6, 2), name)
        except (RuntimeError, MmkgError) as err:  # a precision that it has not, or too little memory
            return Rate(None, f"{name} failed: {err}"[:200])


def _copying(best: _Best, device: str, scale: float) -> Rate:
    import torch

    source = torch.randn(int(scale * _COPIED / 4), device=device)
    target = torch.empty_like(source)
    return best.rate(lambda: target.copy_(source), 2 * source.nbytes, "torch, copy")


def _products(best: _Best, device: str, kind: str, scale: float) -> Rate:
    import torch

    found = []
    for side in (max(64, int(scale * side)) for side in _SIDES):
        # No zeros, with which a GPU draws less power and is faster.
        left, right = (torch.randn(side, side, device=device).to(getattr(torch, kind)) for _ in range(2))
        found.append(best.rate(lambda left=left, right=right: left @ right, 2.0 * side**3, f"torch, {side} x {side}"))  # type: ignore[misc]
    return max(found, key=lambda rate: rate.per_second or 0.0)


def _launch_us(best: _Best, device: str) -> float:
    import torch

    one = torch.zeros(1, device=device)

    def many() -> None:
        for _ in range(_LAUNCHES):
            one.add_(1)

    return round(1e3 * best.least_ms(many) / _LAUNCHES, 3)
