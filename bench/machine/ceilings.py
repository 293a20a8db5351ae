"""What this machine can do, measured in the same run as what is compared with it: reading memory, and arithmetic.

These are measured rates, not the processor's limits: the best that any of the libraries at hand and the compiled
kernels reached on work made for it, in a process of their own. Reading is over an array that no cache holds, arithmetic
over products that one does. A row of a benchmark may be above 100 %: then it is the better measurement, or a cache held
what it read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from mmkg_sdk.backends.base import parse_device

from .worker_process import ContenderError, PointError, WorkerProcess

ARITHMETIC = ("float32", "bfloat16", "int8")
# Of a GPU; int8 tables are ranked on processors alone.
GPU_ARITHMETIC = ("float32", "bfloat16", "float16")
# Long enough for the best of several passes; what is measured against it takes longer.
_SECONDS = 0.3


@dataclass(frozen=True)
class Rate:
    """Attributes:
    per_second: 10^9 bytes or operations; None where there is none.
    by: what reached it, or why there is none.
    """

    per_second: float | None
    by: str


@dataclass(frozen=True)
class Ceilings:
    """Attributes:
    read: of memory, with all threads, GB/s; of a GPU by copying, read and written bytes together.
    arithmetic: products by dtype, GFLOP/s; a multiplication and an addition are two.
    launch_us: what the smallest piece of work takes on a GPU; None on a processor.
    """

    read: Rate
    arithmetic: dict[str, Rate]
    launch_us: float | None = field(default=None, kw_only=True)

    def to_json(self) -> dict[str, Any]:
        found = asdict(self)
        if self.launch_us is None:
            del found["launch_us"]
        return found

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Ceilings:
        """What `to_json` gave.

        Raises:
            KeyError, TypeError, ValueError: it did not.
        """
        rates = {name: Rate(**rate) for name, rate in found["arithmetic"].items()}
        every = [Rate(**found["read"]), *rates.values()]
        if any(not _is_rate(rate.per_second) for rate in every):
            raise ValueError("a ceiling is no number")
        launch = found.get("launch_us")
        if not _is_rate(launch):
            raise ValueError("a time to launch is no number")
        return cls(every[0], rates, launch_us=launch)

    def words(self) -> str:
        """One line for people."""
        named = [("reads", self.read, "GB/s"), *((name, rate, "GFLOP/s") for name, rate in self.arithmetic.items())]
        words = [
            f"{name} {rate.per_second:,.4g} {unit} ({rate.by})" if rate.per_second else f"{name} none ({rate.by})"
            for name, rate, unit in named
        ]
        if self.launch_us is not None:
            words.append(f"launches in {self.launch_us:,.3g} us")
        return "ceilings: " + "; ".join(words)


def measure_ceilings(
    device: str, threads: int, seconds: float = _SECONDS, instruction_set: str | None = None
) -> Ceilings:
    """Measure them now.

    Args:
        device: whose; "cpu", "cuda" or "cuda:N".
        threads: of the CPU.
        seconds: at most so long for each way of reaching one.
        instruction_set: of the compiled kernels, on a processor; None is the best.

    Raises:
        BackendError: no such name of a device. One that is not here gives ceilings that say so.
    """
    job = {"device": device, "threads": threads, "seconds": min(seconds, _SECONDS), "instruction_set": instruction_set}
    on_gpu = parse_device(device)[0] == "cuda"
    try:
        with WorkerProcess("machine.gpu_ceilings" if on_gpu else "machine.ceiling_ways", job, threads) as worker:
            return Ceilings.from_json(worker.ask({}))
    except (PointError, ContenderError) as err:
        none = Rate(None, f"not measured: {err}")
        return Ceilings(none, dict.fromkeys(GPU_ARITHMETIC if on_gpu else ARITHMETIC, none))


def _is_rate(value: Any) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0)
