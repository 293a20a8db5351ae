"""A CUDA stream for each calling thread, for backends whose runtime does not give them one."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from .base import parse_device

if TYPE_CHECKING:
    from ..kernels.gpu.device import Stream


class ThreadStreams(threading.local):
    """The streams of one thread by device; made when they are first asked for."""

    def __init__(self) -> None:
        self.streams: dict[int, Stream] = {}


_OWN = ThreadStreams()


def own_stream(device: str) -> int:
    """The calling thread's stream on "cuda" or "cuda:N", as a CUstream handle.

    0, the one that all threads share, on the CPU and where there are no CUDA kernels to launch on another.
    """
    kind, index = parse_device(device)
    if kind == "cpu":
        return 0
    from ..kernels.gpu.device import Gpu, gpu_kernels_absence

    if gpu_kernels_absence(device):
        return 0
    if index not in _OWN.streams:
        _OWN.streams[index] = Gpu.open(index).stream()
    return _OWN.streams[index].handle
