"""Facts of NVIDIA's GPUs as the driver gives them: names, versions, memory, clocks, limits. Nothing is ever set."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from typing import Any

# What nvidia-smi is asked, and what it is called here. Units are those of its names.
_ASKED = {
    "name": "name",
    "driver_version": "driver",
    "compute_cap": "compute_capability",
    "memory.total": "memory_mib",
    "clocks.current.sm": "sm_mhz",
    "clocks.max.sm": "sm_mhz_max",
    "clocks.current.memory": "memory_mhz",
    "clocks.max.memory": "memory_mhz_max",
    "power.limit": "power_limit_w",
    "temperature.gpu": "temperature_c",
    "persistence_mode": "persistence",
    "ecc.mode.current": "ecc",
    "mig.mode.current": "mig",
    "clocks_event_reasons.active": "throttle_reasons",
}
_NUMBERS = ("memory_mib", "sm_mhz", "sm_mhz_max", "memory_mhz", "memory_mhz_max", "power_limit_w", "temperature_c")
DRIVER_VARIABLE = "MMKG_CUDA_DRIVER"


def gpu_names() -> list[str]:
    """Name, driver and memory of each GPU, one line each; none where there is no driver."""
    text = _smi("name,driver_version,memory.total")
    return text.splitlines() if text else []


def gpu_facts(index: int) -> dict[str, Any] | None:
    """What the driver says of one GPU, and the newest CUDA that it serves; None where it says nothing.

    Args:
        index: of this process, as in "cuda:1".
    """
    text = _smi(",".join(_ASKED), "-i", system_name(index))
    if not text:
        return None
    values = [value.strip() for value in text.splitlines()[0].split(",")]
    if len(values) != len(_ASKED):
        return None
    found: dict[str, Any] = dict(zip(_ASKED.values(), values, strict=True))
    for name in _NUMBERS:
        found[name] = _number(found[name])
    return found | {"cuda": driver_cuda_version()}


def system_name(index: int) -> str:
    """What the system calls the GPU that is number `index` for this process: a number, or a UUID.

    CUDA_VISIBLE_DEVICES may hide and reorder them, of which NVIDIA's management tools know nothing.
    """
    visible = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return visible[index] if index < len(visible) else str(index)


def driver_cuda_version() -> str | None:
    """The newest CUDA that the driver serves, as "13.0"; None where there is no driver."""
    try:
        driver = ctypes.CDLL(os.environ.get(DRIVER_VARIABLE, "libcuda.so.1"))
    except OSError:
        return None
    version = ctypes.c_int()
    if driver.cuDriverGetVersion(ctypes.byref(version)):
        return None
    return f"{version.value // 1000}.{version.value % 1000 // 10}"


def gpu_absence(index: int = 0) -> str | None:
    """Why there is no such GPU for this process; None if there is one. Starts the driver, and no work.

    Args:
        index: in the driver's order, which CUDA_VISIBLE_DEVICES changes.
    """
    name = os.environ.get(DRIVER_VARIABLE, "libcuda.so.1")
    try:
        driver = ctypes.CDLL(name)
    except OSError as err:
        return f"NVIDIA's driver is not installed here ({err})"
    count = ctypes.c_int()
    if failed := driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return f"NVIDIA's driver does not start (error {failed})"
    return None if index < count.value else f"there is no GPU {index}: the driver sees {count.value}"


def _smi(asked: str, *which: str) -> str | None:
    """What nvidia-smi prints; None where it is absent or fails."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    command = [program, f"--query-gpu={asked}", "--format=csv,noheader,nounits", *which]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None  # "[N/A]"
