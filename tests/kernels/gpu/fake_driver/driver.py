"""The stand-in's library: compiled, opened, asked and made to fail."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCES = [Path(__file__).with_name(name) for name in ("libcuda.c", "machine.c")]

# What cuda.h calls CUDA_ERROR_...
OUT_OF_MEMORY, ECC_UNCORRECTABLE, LAUNCH_FAILED = 2, 214, 719

Launcher = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_char_p,
    ctypes.POINTER(ctypes.c_uint),
    ctypes.c_uint,
    ctypes.c_uint,
    ctypes.POINTER(ctypes.c_void_p),
)


def compile_driver(folder: Path) -> Path:
    """The stand-in as a library for MMKG_CUDA_DRIVER; skips the test where there is no C compiler.

    In a process whose parent compiled it, it is what FAKE_CUDA_DRIVER names.
    """
    if "FAKE_CUDA_DRIVER" in os.environ:
        return Path(os.environ["FAKE_CUDA_DRIVER"])
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler for the stand-in for NVIDIA's driver")
    out = folder / "libcuda_stand_in.so"
    command = [compiler, "-shared", "-fPIC", "-fvisibility=hidden", "-O1", "-std=gnu11", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([*command, *SOURCES, "-o", out, "-lpthread"], check=True, capture_output=True, text=True)
    return out


class FakeDriver:
    """The stand-in as this process has it open."""

    def __init__(self, library: Path) -> None:
        self._library = ctypes.CDLL(str(library))
        self._library.fake_damaged.restype = self._library.fake_launches.restype = ctypes.c_long
        self._library.fake_memory_used.restype = ctypes.c_size_t
        self._library.fake_set_memory.argtypes = [ctypes.c_size_t]

    def set_launcher(self, launcher: object) -> None:
        """What runs kernels; it must be kept."""
        self._library.fake_set_launcher(launcher)

    def set_memory(self, num_bytes: int) -> None:
        """How much memory the GPU has."""
        self._library.fake_set_memory(num_bytes)

    def fail(self, function: str, result: int, after: int = 0) -> None:
        """Let a call of a function fail; results that lose a real GPU stay until recover()."""
        self._library.fake_fail(function.encode(), after, result)

    def recover(self) -> None:
        """No call fails any more, as after a new start of the process."""
        self._library.fake_recover()

    @property
    def damaged(self) -> int:
        """Pieces of memory that were written past their ends, of those that were freed."""
        return int(self._library.fake_damaged())

    @property
    def launches(self) -> int:
        """Kernels that ran."""
        return int(self._library.fake_launches())

    @property
    def memory_used(self) -> int:
        """Bytes that are allocated on the GPU, once all streams have done their work."""
        return int(self._library.fake_memory_used())

    @property
    def context_depth(self) -> int:
        """Contexts that the calling thread has pushed and not popped."""
        return int(self._library.fake_context_depth())
