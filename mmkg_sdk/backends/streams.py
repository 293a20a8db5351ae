"""A CUDA stream for each calling thread: what backends and kernels do for it is ordered there, waiting for no other."""

from __future__ import annotations

import threading

from ..kernels.gpu import Gpu, Stream, gpu_kernels_absence
from .base import parse_device


class ThreadStreams(threading.local):
    """The streams of one thread by device; made when they are first asked for."""

    def __init__(self) -> None:
        self.streams: dict[int, Stream] = {}


_OWN = ThreadStreams()


def thread_stream(device: str) -> Stream | None:
    """The calling thread's stream on "cuda" or "cuda:N"; it is gone when nothing holds it and the thread has ended.

    None elsewhere, and where there are no CUDA kernels to launch on it.
    """
    if not device.startswith("cuda") or gpu_kernels_absence(device):
        return None
    index = parse_device(device)[1]
    if index not in _OWN.streams:
        _OWN.streams[index] = Gpu.open(index).stream()
    return _OWN.streams[index]


def own_stream(device: str) -> int:
    """Its handle, a CUstream; 0, the stream that all threads share, where there is none."""
    stream = thread_stream(device)
    return 0 if stream is None else stream.handle
