"""The conditions of a measurement: processor, memory, versions, load, commit. Nothing heavy is imported for it."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import mmkg_sdk
from mmkg_sdk.backends.base import parse_device
from mmkg_sdk.bundle import MANIFEST
from mmkg_sdk.kernels import instruction_sets, library
from mmkg_sdk.kernels.gpu import gpu_kernels_state
from mmkg_sdk.kernels.threads import ChosenThreads, chosen_threads, usable_cores

from .gpus import gpu_facts, gpu_names

PACKAGES = ("numpy", "safetensors", "torch", "onnxruntime", "onnxruntime-gpu", "tensorrt", "tensorrt-rtx-cu13-bindings")
# Instruction sets that decide which kernels run.
_CPU_FLAGS = (
    *("avx2", "fma", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8"),
    *("asimd", "asimddp", "sve", "bf16", "i8mm"),
)
# Other work on this share of the cores disturbs a measurement.
_LOADED_SHARE = 0.25


def environment(
    bundle: str | Path | None = None,
    threads: int | None = None,
    packages: Sequence[str] = (),
    device: str = "cpu",
) -> dict[str, Any]:
    """This machine and what is installed; what cannot be found out is None.

    Args:
        bundle: its bundle.json is hashed, which stands for every file of the bundle.
        threads: recorded as given; None is what the SDK takes then.
        packages: whose versions are recorded beside those of PACKAGES.
        device: where the work is; a GPU's facts (`gpu_facts`) are recorded as "gpu".

    Raises:
        BackendError: no name of a device.
    """
    kind, index = parse_device(device)
    processor = _processor()
    chosen = chosen_threads() if threads is None else ChosenThreads(threads, "asked for")
    found: dict[str, Any] = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": processor.get("model name") or platform.processor() or platform.machine(),
        "cpu_flags": cpu_flags(),
        "cpu_governor": _line(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")),
        "cores": os.cpu_count(),
        "usable_cores": usable_cores(),
        "memory_mib": _memory_mib(),
        "gpus": gpu_names(),
        "os": platform.platform(),
        "python": platform.python_version(),
        "versions": {"mmkg_sdk": mmkg_sdk.__version__} | {name: _version(name) for name in (*PACKAGES, *packages)},
        "kernels": kernels(),
        "cuda_kernels": gpu_kernels_state(),
        "threads": chosen.count,
        "threads_reason": chosen.reason,
        "load_average": load_average(),
        **_checkout(Path(__file__).resolve().parents[2]),
    }
    if kind == "cuda":
        found["gpu"] = gpu_facts(index)
    if bundle is not None:
        found["bundle_sha256"] = bundle_sha256(bundle)
    return found


def bundle_sha256(bundle: str | Path) -> str:
    """Of its bundle.json, which stands for every file of the bundle."""
    return hashlib.sha256((Path(bundle) / MANIFEST).read_bytes()).hexdigest()


def cpu_flags() -> list[str]:
    """Those of the processor's instruction sets that decide which kernels run."""
    flags = _processor().get("flags", "").split()
    return [flag for flag in _CPU_FLAGS if flag in flags]


def kernels() -> str:
    """The instruction sets of the compiled kernels, best last, or why numpy ranks and graphs run instead."""
    found = library()
    return f"numpy and graphs ({found})" if isinstance(found, str) else ", ".join(instruction_sets())


def load_average() -> list[float] | None:
    """Mean number of running processes over 1, 5 and 15 minutes; None where the system does not count them."""
    return [round(value, 2) for value in os.getloadavg()] if hasattr(os, "getloadavg") else None


@dataclass(frozen=True)
class Moment:
    """Seconds at one moment: the clock, processor time that the usable cores spent, and that of this process and of
    those that it started and waited for."""

    clock: float
    busy: float
    own: float


def moment() -> Moment | None:
    """Now; None where the system does not count."""
    try:
        text = Path("/proc/stat").read_text()
    except OSError:
        return None
    times = os.times()
    busy = busy_ticks(text, os.sched_getaffinity(0)) / os.sysconf("SC_CLK_TCK")
    return Moment(times.elapsed, busy, times.user + times.system + times.children_user + times.children_system)


def busy_ticks(stat: str, cores: Iterable[int]) -> int:
    """What some cores worked by the text of /proc/stat, time that the host took from a virtual machine included."""
    wanted = {f"cpu{core}" for core in cores}
    found = (line.split() for line in stat.splitlines())
    # user, nice, system, (idle, iowait,) irq, softirq, steal; what follows is part of these.
    return sum(sum(map(int, [*fields[1:4], *fields[6:9]])) for fields in found if fields and fields[0] in wanted)


def other_load(before: Moment | None, after: Moment | None) -> float | None:
    """Cores' worth of work between two moments that was not ours, whatever ran before; None if it is not known.

    Processes of ours that still run count as others: wait for them first.
    """
    if before is None or after is None or after.clock <= before.clock:
        return None
    others = (after.busy - before.busy) - (after.own - before.own)
    return round(max(0.0, others) / (after.clock - before.clock), 2)


def is_loaded(load: float | None, cores: int) -> bool | None:
    """Whether other work disturbs a measurement on this many cores; None if the load is not known."""
    return None if load is None else load > _LOADED_SHARE * cores


def _processor() -> dict[str, str]:
    """The first processor of /proc/cpuinfo: "model name", "flags" and the rest; ARM calls the flags Features."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    found = {name.strip(): value.strip() for name, _, value in pairs}
    return found | {"flags": found.get("flags", found.get("Features", ""))}


def _memory_mib() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    except (AttributeError, ValueError, OSError):
        return None


def _checkout(root: Path) -> dict[str, Any]:
    """Commit and state of the checkout that this file lies in; an installed package has none."""
    commit = status = None
    if (root / "pyproject.toml").is_file() and (root / ".git").exists():
        commit = _output("git", "-C", str(root), "rev-parse", "HEAD")
        status = _output("git", "-C", str(root), "status", "--porcelain")
    return {"git_commit": commit, "git_dirty": None if commit is None or status is None else bool(status)}


def _output(program: str, *arguments: str) -> str | None:
    """What a program prints; None if it is absent or fails."""
    if shutil.which(program) is None:
        return None
    try:
        done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _line(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
