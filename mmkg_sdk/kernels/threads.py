"""default_threads: how many CPU threads run where nobody says: in kernels, ONNX Runtime and torch alike.

What counts, the first that is there:

1. `threads=` of a call, `--threads` of a command;
2. the environment variable OMP_NUM_THREADS;
3. the smaller one of the cores that the process may run on (its affinity), and the CPUs that the quota of its control
   groups grants, as containers have one. That is rounded down, to one at least: where threads exceed the quota, the
   system stops them all for a while.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MAX_THREADS = 1024
_VARIABLE = "OMP_NUM_THREADS"


@dataclass(frozen=True)
class ChosenThreads:
    """A number of threads and where it comes from."""

    count: int
    reason: str


def default_threads() -> int:
    """CPU threads where nobody says how many, 1 to 1,024."""
    return chosen_threads().count


def chosen_threads(root: Path = Path("/")) -> ChosenThreads:
    """What `default_threads` gives, and why.

    Args:
        root: where /proc and the control groups lie.
    """
    asked = os.environ.get(_VARIABLE, "")
    if asked:
        outermost = asked.split(",")[0].strip()  # OpenMP takes one number a level
        if outermost.isdecimal() and int(outermost) >= 1:
            return ChosenThreads(min(int(outermost), MAX_THREADS), f"{_VARIABLE} is {asked}")
        warnings.warn(
            f"{_VARIABLE} is {asked!r}; expected a whole number of at least 1. It is passed over.", stacklevel=2
        )
    cores, quota = usable_cores(), cpu_quota(root)
    if quota is not None and quota < cores:
        return ChosenThreads(max(1, int(quota)), f"the control group grants {quota:g} of {cores} usable cores")
    return ChosenThreads(min(cores, MAX_THREADS), f"the process may run on {cores} of {os.cpu_count()} cores")


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_quota(root: Path = Path("/")) -> float | None:
    """CPUs that the control groups of this process grant, those above them included; None where nothing limits them."""
    quotas = [quota for folder in _group_folders(root) if (quota := _quota(folder)) is not None]
    return min(quotas, default=None)


def _group_folders(root: Path) -> Iterator[Path]:
    """Folders of this process's control groups for processor time, and of those above, as far as they are mounted."""
    try:
        groups = (root / "proc/self/cgroup").read_text().splitlines()
        mounts = (root / "proc/self/mountinfo").read_text().splitlines()
    except OSError:  # no Linux
        return
    paths = {}
    for line in groups:
        _, controllers, path = line.split(":", 2)
        if controllers == "" or "cpu" in controllers.split(","):
            paths["cgroup" if controllers else "cgroup2"] = path
    for line in mounts:
        mount, _, system = line.partition(" - ")
        _, _, _, shown, place, *_ = mount.split()
        kind, _, options = system.split()
        if kind not in paths or (kind == "cgroup" and "cpu" not in options.split(",")):
            continue
        top = root / place.lstrip("/")
        group = Path(paths[kind])
        # A mount shows the groups from `shown` on; one outside of it is not to be seen.
        inside = group.relative_to(shown) if group.is_relative_to(shown) and ".." not in group.parts else Path()
        yield from (top / part for part in (inside, *inside.parents))


def _quota(folder: Path) -> float | None:
    """CPUs that one group grants by version 2 (cpu.max) or 1 of control groups; "max" and -1 are no limit."""
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        try:
            quota, period = " ".join((folder / name).read_text() for name in names).split()
            if int(quota) > 0 and int(period) > 0:
                return int(quota) / int(period)
        except (OSError, ValueError):
            continue
    return None
