"""A step in a process of its own, and the memory of a process as the system tells it (Linux)."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

_Found = TypeVar("_Found")


def in_own_process(function: Callable[..., _Found], *arguments: Any) -> _Found:
    """What a function of a module gives in a new process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def begin_peak() -> None:
    """The peak of `memory_mib("VmHWM")` begins here."""
    Path("/proc/self/clear_refs").write_text("5")


def memory_mib(field: str) -> float:
    """What the system says of this process: "RssAnon" belongs to it alone, "VmHWM" is the most that was resident."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return round(int(line.split()[1]) / 1024, 1)
    raise AssertionError(f"the system does not say {field}")
