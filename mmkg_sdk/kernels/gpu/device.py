"""A GPU: its memory, streams, events and graphs. Needs NVIDIA's driver and nothing else of CUDA.

NOT RUN ON A GPU YET: tested with a stand-in for the driver.
"""

from __future__ import annotations

import ctypes
import math
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ...errors import BackendError
from ..library import address, in_place
from .dlpack import CUDA, capsule
from .library import check, gpu_library, kernel_image

_opening = threading.Lock()
_opened: dict[int, Gpu] = {}


class _Facts(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char * 256),
        *((name, ctypes.c_int32) for name in ("major", "minor", "multiprocessors", "driver_version")),
        *((name, ctypes.c_int64) for name in ("memory_bytes", "l2_bytes", "shared_bytes")),
    )


class OnThisGpu(Protocol):
    """An array of whatever library, C-contiguous."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    @property
    def pointer(self) -> int: ...


class Gpu:
    """One GPU of this process; `Gpu.open` gives it.

    Safe to use from several threads. After an error that loses the GPU (memory that fails, a kernel that went astray)
    every call raises BackendError at once: only a new process can use it again. It is no use to a forked child.

    Attributes:
        index: in the driver's order, which CUDA_VISIBLE_DEVICES changes.
        handle: `mmkg_gpu *` of include/mmkg_cuda.h.
        name: as the driver says it.
        compute_capability: (9, 0) for 9.0.
        multiprocessors: how many.
        driver_version: newest CUDA that the driver serves, (13, 0) for 13.0.
        memory_bytes, l2_bytes: of the GPU.
    """

    def __init__(self, index: int) -> None:
        check(gpu_library().mmkg_gpu_count(ctypes.byref(ctypes.c_int32())))  # a missing driver is named first
        self._image = kernel_image()  # read by the library as long as the GPU is open, which is to the end
        self.index = index
        self.handle = ctypes.c_void_p()
        check(gpu_library().mmkg_gpu_open(index, address(self._image), len(self._image), ctypes.byref(self.handle)))
        facts = _Facts()
        check(gpu_library().mmkg_gpu_describe(self.handle, ctypes.byref(facts)))
        self.name = facts.name.decode(errors="replace")
        self.compute_capability = (facts.major, facts.minor)
        self.multiprocessors = int(facts.multiprocessors)
        self.driver_version = divmod(facts.driver_version // 10, 100)
        self.memory_bytes, self.l2_bytes = int(facts.memory_bytes), int(facts.l2_bytes)

    @staticmethod
    def open(index: int = 0) -> Gpu:
        """The GPU, opened with its first use in this process.

        Raises:
            BackendError: names what is missing: the driver, a newer one, the GPU, kernels for it.
        """
        with _opening:
            if index not in _opened:
                _opened[index] = Gpu(index)
            found = _opened[index]
        check(gpu_library().mmkg_gpu_usable(found.handle))
        return found

    def array(self, host: NDArray[Any], stream: Stream | None = None) -> GpuArray:
        """A copy on the GPU, ordered on a stream; `host` may change as soon as this returns."""
        host = in_place(host)
        made = self.empty(host.shape, host.dtype, stream)
        at = stream.handle if stream else 0
        check(gpu_library().mmkg_gpu_copy_to_device(self.handle, made.pointer, address(host), host.nbytes, at))
        check(gpu_library().mmkg_gpu_stream_synchronize(self.handle, at))
        return made

    def empty(self, shape: int | tuple[int, ...], dtype: DTypeLike, stream: Stream | None = None) -> GpuArray:
        """Memory of the GPU, with whatever was in it.

        Args:
            stream: that will write it; other libraries that take the array wait for it.

        Raises:
            BackendError: not enough memory; the text says how much was asked for.
        """
        return GpuArray(self, (shape,) if isinstance(shape, int) else tuple(shape), np.dtype(dtype), stream)

    def joined(self, arrays: Sequence[OnThisGpu], stream: Stream) -> GpuArray:
        """The rows of several arrays one behind the other, for work on a stream; nothing is waited for.

        Args:
            arrays: on this GPU, at least one, alike but for their first axis. GpuArrays may be of any stream; others
                are whole, and stay until the stream has come by.
        """
        first = arrays[0]
        made = self.empty((sum(array.shape[0] for array in arrays), *first.shape[1:]), first.dtype, stream)
        at = made.pointer
        for array in arrays:
            if (array.shape[1:], array.dtype) != (first.shape[1:], first.dtype):
                raise BackendError(f"{array.dtype} {array.shape} behind {first.dtype} {first.shape}; expected alike.")
            if isinstance(array, GpuArray):
                array.come_before(stream.handle)
            num_bytes = math.prod(array.shape) * array.dtype.itemsize
            check(gpu_library().mmkg_gpu_copy(self.handle, at, array.pointer, num_bytes, stream.handle))
            at += num_bytes
        return made

    def stream(self) -> Stream:
        """A new stream, which waits for no other."""
        return Stream(self)

    def event(self) -> Event:
        """A new event."""
        return Event(self)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """The GPU's context is this thread's while the block runs, for libraries that work in the thread's context."""
        check(gpu_library().mmkg_gpu_enter(self.handle))
        try:
            yield
        finally:
            check(gpu_library().mmkg_gpu_leave(self.handle))

    def memory(self) -> tuple[int, int]:
        """(free, all) bytes of the GPU's memory; free ones as the driver sees it, without what pools keep."""
        free, everything = ctypes.c_int64(), ctypes.c_int64()
        check(gpu_library().mmkg_gpu_memory(self.handle, ctypes.byref(free), ctypes.byref(everything)))
        return free.value, everything.value


def gpu_kernels_absence(device: str) -> str | None:
    """Why no CUDA kernels can serve a device ("cuda", "cuda:1"); None if they can."""
    kind, _, index = device.partition(":")
    if kind != "cuda":
        return f"{device!r} is no CUDA device"
    try:
        Gpu.open(int(index or 0))
    except (BackendError, ValueError) as err:
        return str(err)
    return None


class GpuArray:
    """An array on a GPU, C-contiguous; its memory is freed with it, after the work that was put on any stream.

    Attributes:
        pointer: its address on the GPU, a multiple of 256.
        shape, dtype, nbytes: as of numpy.
    """

    def __init__(self, gpu: Gpu, shape: tuple[int, ...], dtype: np.dtype[Any], stream: Stream | None = None) -> None:
        self.gpu, self.shape, self.dtype = gpu, shape, dtype
        self.nbytes = math.prod(shape) * dtype.itemsize
        self._stream = stream
        pointer = ctypes.c_uint64()
        # An array without elements has an address, too.
        check(gpu_library().mmkg_gpu_allocate(gpu.handle, max(self.nbytes, 1), ctypes.byref(pointer)))
        self.pointer = pointer.value
        _at_end(self, gpu_library().mmkg_gpu_free, gpu.handle, self.pointer)

    def numpy(self, stream: Stream | None = None) -> NDArray[Any]:
        """A copy on the host, of what the stream (None: the one it was made for) has written."""
        stream = stream or self._stream
        at = stream.handle if stream else 0
        host = np.empty(self.shape, self.dtype)
        check(gpu_library().mmkg_gpu_copy_to_host(self.gpu.handle, address(host), self.pointer, host.nbytes, at))
        check(gpu_library().mmkg_gpu_stream_synchronize(self.gpu.handle, at))
        return host

    def copy_from(self, host: NDArray[Any], stream: Stream) -> None:
        """Put a copy of an array of as many bytes on a stream, which reads page-locked memory when it comes to it."""
        self._expect(host)
        check(
            gpu_library().mmkg_gpu_copy_to_device(
                self.gpu.handle, self.pointer, address(host), self.nbytes, stream.handle
            )
        )

    def copy_to(self, host: NDArray[Any], stream: Stream) -> None:
        """Put a copy to page-locked memory of as many bytes on a stream."""
        self._expect(host)
        check(
            gpu_library().mmkg_gpu_copy_to_host(
                self.gpu.handle, address(host), self.pointer, self.nbytes, stream.handle
            )
        )

    def come_before(self, stream: int) -> None:
        """Let work that is put on a stream (its handle) from now on wait for what has written the array by now."""
        if self._stream is not None and self._stream.handle != stream:
            written = self.gpu.event()
            written.record(self._stream)
            check(gpu_library().mmkg_gpu_stream_wait(self.gpu.handle, stream, written.handle))

    def _expect(self, host: NDArray[Any]) -> None:
        if host.nbytes != self.nbytes or not host.flags.c_contiguous:
            raise BackendError(f"{host.nbytes:,} bytes of the host, and {self.nbytes:,} of the GPU; expected as many.")

    def __dlpack_device__(self) -> tuple[int, int]:
        """Where it lies, for libraries that speak DLPack."""
        return CUDA, self.gpu.index

    def __dlpack__(self, *, stream: int | None = None, **asked: Any) -> Any:
        """The array for another library, without a copy; see the array API standard.

        Args:
            stream: of the consumer, which will wait for what was written on this array's stream; -1: it need not.
            asked: `max_version` is served with the version that all take; `dl_device` and `copy` must ask for nothing.
        """
        if asked.get("dl_device") not in (None, self.__dlpack_device__()) or asked.get("copy"):
            raise BufferError("the array is shared where it is; copy it afterwards.")
        if stream != -1:  # 0 is not allowed there, and 1 is the legacy default stream
            self.come_before(0 if stream is None or stream == 1 else stream)
        return capsule(self)


class Stream:
    """Work in order, beside other streams.

    Attributes:
        handle: CUstream as a number, for other libraries.
    """

    def __init__(self, gpu: Gpu) -> None:
        self.gpu = gpu
        handle = ctypes.c_uint64()
        check(gpu_library().mmkg_gpu_stream_open(gpu.handle, ctypes.byref(handle)))
        self.handle = handle.value
        _at_end(self, gpu_library().mmkg_gpu_stream_close, gpu.handle, self.handle)

    def synchronize(self) -> None:
        """Wait for its work.

        Raises:
            BackendError: the work failed.
        """
        check(gpu_library().mmkg_gpu_stream_synchronize(self.gpu.handle, self.handle))

    def wait(self, event: Event) -> None:
        """Let later work wait for what an event was recorded after."""
        check(gpu_library().mmkg_gpu_stream_wait(self.gpu.handle, self.handle, event.handle))

    @contextmanager
    def capture(self) -> Iterator[Graph]:
        """Work that is put on the stream inside is kept in the graph, and not run.

        What it reads and writes must stay as long as the graph; nothing may be waited for inside.
        """
        check(gpu_library().mmkg_gpu_capture_begin(self.gpu.handle, self.handle))
        graph, made = Graph(self.gpu), ctypes.c_uint64()
        whole = False
        try:
            yield graph
            whole = True
        finally:
            # Ended in any case: a stream that is left in a capture is of no further use.
            ended = gpu_library().mmkg_gpu_capture_end(self.gpu.handle, self.handle, ctypes.byref(made))
            if made.value and not whole:
                gpu_library().mmkg_gpu_graph_close(self.gpu.handle, made.value)  # it has memory
        check(ended)
        graph.fill(made.value)


class Graph:
    """Work that was captured on a stream (`Stream.capture`), launched as one."""

    def __init__(self, gpu: Gpu) -> None:
        self.gpu = gpu
        self._handle = 0

    def fill(self, handle: int) -> None:
        """Take over what was captured."""
        self._handle = handle
        _at_end(self, gpu_library().mmkg_gpu_graph_close, self.gpu.handle, handle)

    def launch(self, stream: Stream) -> None:
        """Put all of it on a stream.

        Raises:
            BackendError: its capture did not end yet, or failed.
        """
        if not self._handle:
            raise BackendError(
                "the graph is empty: launch it after `with stream.capture()` has ended without an error."
            )
        check(gpu_library().mmkg_gpu_graph_launch(self.gpu.handle, self._handle, stream.handle))


class Event:
    """A place in the work of a stream, with its time."""

    def __init__(self, gpu: Gpu) -> None:
        self.gpu = gpu
        handle = ctypes.c_uint64()
        check(gpu_library().mmkg_gpu_event_open(gpu.handle, ctypes.byref(handle)))
        self.handle = handle.value
        _at_end(self, gpu_library().mmkg_gpu_event_close, gpu.handle, self.handle)

    def record(self, stream: Stream) -> None:
        """Place it after the work that the stream has now."""
        check(gpu_library().mmkg_gpu_event_record(self.gpu.handle, self.handle, stream.handle))

    def elapsed_ms(self, since: Event) -> float:
        """Milliseconds from an earlier event to this one; waits for both."""
        found = ctypes.c_float()
        both = (since.handle, self.handle)
        check(gpu_library().mmkg_gpu_event_elapsed(self.gpu.handle, *both, ctypes.byref(found)))
        return found.value


def _at_end(owner: object, close: Callable[..., int], *arguments: Any) -> None:
    """Call `close` when the owner is collected. A status is of no use there, and at the end the driver frees all."""
    weakref.finalize(owner, close, *arguments).atexit = False
