"""Whether the library ran out of memory, and how much there is."""

from __future__ import annotations

import os

# As TensorRT, CUDA, Myelin and C++ put it.
_SIGNS = ("out of memory", "outofmemory", "workspace limit", "insufficient memory", "bad_alloc", "mem_alloc")


def is_shortage(words: str) -> bool:
    """Whether an error of the library means that memory was short."""
    return any(sign in words.lower() for sign in _SIGNS)


def free_memory() -> str:
    """How much memory the machine has free, for messages."""
    try:
        return f"{os.sysconf('SC_AVPHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') >> 20:,} MiB of the machine are free"
    except (AttributeError, ValueError, OSError):
        return "how much the machine has free is not known"
