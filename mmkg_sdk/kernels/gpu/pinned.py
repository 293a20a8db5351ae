"""PinnedArray: memory of the host that a GPU copies from and to by itself. NOT RUN ON A GPU YET."""

from __future__ import annotations

import ctypes
import weakref

import numpy as np
from numpy.typing import DTypeLike

from .device import Gpu
from .library import check, gpu_library


class PinnedArray:
    """One axis of page-locked memory. Work on a stream that reads or writes it is waited for before this goes.

    Attributes:
        array: [size], with whatever was in it; of no use without this object.
        pointer: its address, on the host.

    Raises:
        BackendError: the host has no such memory left.
    """

    def __init__(self, gpu: Gpu, size: int, dtype: DTypeLike) -> None:
        pointer, num_bytes = ctypes.c_void_p(), max(size, 1) * np.dtype(dtype).itemsize
        check(gpu_library().mmkg_gpu_allocate_host(gpu.handle, num_bytes, ctypes.byref(pointer)))
        weakref.finalize(self, gpu_library().mmkg_gpu_free_host, gpu.handle, pointer).atexit = False
        self.pointer = pointer.value or 0
        all_bytes = (ctypes.c_uint8 * num_bytes).from_address(self.pointer)
        self.array = np.ctypeslib.as_array(all_bytes).view(dtype)[:size]
