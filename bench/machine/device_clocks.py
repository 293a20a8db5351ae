"""The clocks of a GPU: events of the driver, through the compiled library, or of torch.

NEVER RUN ON A GPU. The driver's clock is tested with a stand-in for the driver; torch's only as far as it imports.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mmkg_sdk.backends.base import parse_device
from mmkg_sdk.errors import BackendError, missing_package
from mmkg_sdk.kernels.gpu import Event, Gpu, Stream, gpu_kernels_absence
from mmkg_sdk.kernels.gpu.library import check, gpu_library

# What is written to flush a cache, as a multiple of it.
_FLUSHED = 2


class _GivenStream(Stream):
    """A stream that somebody else opened, and closes."""

    def __init__(self, gpu: Gpu, handle: int) -> None:
        self.gpu, self.handle = gpu, handle


class DriverClock:
    """Events of the driver, on any stream of the GPU's primary context: those of torch and TensorRT, too."""

    def __init__(self, gpu: Gpu, stream: int) -> None:
        self._gpu = gpu
        self._stream = _GivenStream(gpu, stream)
        self._swept = gpu.empty(max(1, _FLUSHED * gpu.l2_bytes), np.uint8)

    @property
    def stream(self) -> int:
        """See DeviceClock."""
        return self._stream.handle

    def mark(self) -> Event:
        """See DeviceClock."""
        event = self._gpu.event()
        event.record(self._stream)
        return event

    def elapsed_ms(self, first: Event, last: Event) -> float:
        """See DeviceClock."""
        return last.elapsed_ms(first)

    def synchronize(self) -> None:
        """See DeviceClock."""
        self._stream.synchronize()

    def flush_cache(self) -> None:
        """See DeviceClock."""
        given = (self._swept.pointer, 1, self._swept.nbytes, self._stream.handle)
        check(gpu_library().mmkg_gpu_fill(self._gpu.handle, *given))

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """See DeviceClock."""
        if not self._stream.handle:
            raise BackendError("work on the default stream cannot be captured")
        with self._stream.capture() as graph:
            work()
        return lambda: graph.launch(self._stream)


class TorchClock:
    """Events of torch, on a stream of its own or on a given one."""

    def __init__(self, device: str, stream: int) -> None:
        import torch

        self._cuda: Any = torch.cuda  # whose streams and events have no types
        self._device = torch.device(device)
        self._stream = self._cuda.ExternalStream(stream, device) if stream else self._cuda.Stream(device)
        l2_bytes = self._cuda.get_device_properties(self._device).L2_cache_size
        self._swept = torch.empty(_FLUSHED * l2_bytes, dtype=torch.uint8, device=self._device)

    @property
    def stream(self) -> int:
        """See DeviceClock."""
        return int(self._stream.cuda_stream)

    def mark(self) -> Any:
        """See DeviceClock."""
        event = self._cuda.Event(enable_timing=True)
        event.record(self._stream)
        return event

    def elapsed_ms(self, first: Any, last: Any) -> float:
        """See DeviceClock."""
        last.synchronize()
        return float(first.elapsed_time(last))

    def synchronize(self) -> None:
        """See DeviceClock."""
        self._stream.synchronize()

    def flush_cache(self) -> None:
        """See DeviceClock."""
        with self._cuda.stream(self._stream):
            self._swept.fill_(1)

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """See DeviceClock."""
        graph = self._cuda.CUDAGraph()
        try:
            with self._cuda.graph(graph, stream=self._stream):
                work()
        except RuntimeError as err:
            raise BackendError(f"torch cannot capture it: {err}") from err

        def launch() -> None:
            with self._cuda.stream(self._stream):
                graph.replay()

        return launch


def driver_clock(device: str, stream: int) -> DriverClock | TorchClock:
    """The driver's clock; torch's where there are no compiled kernels for the GPU."""
    absence = gpu_kernels_absence(device)
    if absence is None:
        return DriverClock(Gpu.open(parse_device(device)[1]), stream)
    try:
        return torch_clock(device, stream)
    except BackendError as err:
        raise BackendError(f"nothing here times work on {device}: {absence}; and {err}") from err


def torch_clock(device: str, stream: int) -> TorchClock:
    """Torch's clock.

    Raises:
        BackendError: torch is not installed, or has no such device.
    """
    try:
        import torch
    except ModuleNotFoundError as err:
        raise missing_package("torch", "train", "timing by torch's events") from err
    if parse_device(device)[1] >= torch.cuda.device_count():
        raise BackendError(f"this torch has no device {device}.")
    return TorchClock(device, stream)
