"""A step in a process of its own, and the memory of a process as the system tells it (Linux)."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median
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


def timed(work: Callable[[], _Found], repeats: int) -> tuple[_Found, dict[str, float]]:
    """The last result; the median of the times, and the memory."""
    begin_peak()
    seconds, processor = [], []
    for _ in range(repeats):
        began, spent = time.perf_counter(), time.process_time()
        result = work()
        seconds.append(time.perf_counter() - began)
        processor.append(time.process_time() - spent)
    return result, {
        "seconds": round(median(seconds), 6),
        "cpu_seconds": round(median(processor), 6),
        "mean_seconds": round(sum(seconds) / repeats, 6),
        "anonymous_mib": memory_mib("RssAnon"),
        "peak_mib": memory_mib("VmHWM"),
    }
