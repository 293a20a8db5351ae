"""Contenders of a race at one point: they are open at once and take turns over several rounds, as far as memory goes.

Where they do not fit in memory together they are split into groups, one after the other; those of a group take turns.
One that does not fit alone is not started.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..machine.ceilings import Ceilings
from ..machine.environment import Moment, moment, other_load
from ..machine.turns import Contestants
from ..machine.work import Work, share_of_ceiling
from ..machine.worker_process import ContenderError, PointError

# Of an interpreter with the libraries that rank.
_PROCESS_BYTES = 4 << 28
# The rest is the system's, and what the estimates leave out.
_USABLE_SHARE = 0.9


@dataclass
class Times:
    """What a contender did at a point.

    Attributes:
        ms: of every call.
        found: what else its process said: "agreement", "max_score_error", "details".
        note: why there is no time, or none any more.
        group: number of the group that it took turns in.
        other_load: cores that other work took while that group ran.
    """

    ms: list[float] = field(default_factory=list)
    found: dict[str, Any] = field(default_factory=dict)
    note: str | None = None
    group: int | None = None
    other_load: float | None = None

    def ask(self, contestants: Contestants, name: str, seconds: float) -> None:
        """Add what another turn gives, or why it gives nothing."""
        try:
            reply = contestants.ask(name, {"seconds": seconds})
        except (PointError, ContenderError) as err:
            self.note = str(err)
        else:
            self.ms += reply.pop("ms")
            self.found = reply

    def row(self, work: Work, ceilings: Ceilings) -> dict[str, Any]:
        """Status, times, work and what was found, as a part of a race's row.

        Args:
            work: of one call.
        """
        row: dict[str, Any] = {"status": self._status(), "note": self.note, "samples": len(self.ms), "ms_p50": None}
        if self.note or not self.ms:
            return row
        p50, least, most = (round(float(value), 4) for value in np.percentile(self.ms, [50, 0, 100]))
        share = share_of_ceiling(work, 1e3 / p50, ceilings)
        return {
            **row,
            "ms_p50": p50,
            "ms_min": least,
            "ms_max": most,
            "gflop": work.flop / 1e9,
            "gb": work.bytes / 1e9,
            "gflop_per_second": round(share.gflop_per_second, 2),
            "gb_per_second": round(share.gb_per_second, 2),
            "arithmetic": work.arithmetic,
            "ceiling_ms": share.ceiling_per_second and round(1e3 / share.ceiling_per_second, 4),
            "percent_of_ceiling": share.percent and round(share.percent, 1),
            "bound": share.bound,
            **self.found,
            "group": self.group,
            "other_load": self.other_load,
        }

    def _status(self) -> str:
        return "measured" if self.ms and not self.note else "failed" if self.ms else "not measured"


def take_turns(
    jobs: Mapping[str, Mapping[str, Any]],
    needed_bytes: Mapping[str, float],
    *,
    threads: int,
    seconds: float,
    rounds: int,
) -> dict[str, Times]:
    """Measure contenders.

    Args:
        jobs: by name, what their processes (measurements.py) are told.
        needed_bytes: by name, an estimate of the memory that each needs beside its interpreter.
    """
    turns = {name: Times() for name in jobs}
    available = available_bytes()
    fitting = []
    for name in jobs:
        need = needed_bytes[name] + _PROCESS_BYTES
        if available is not None and need > _USABLE_SHARE * available:
            sizes = f"{need / 2**30:.1f} GiB of {available / 2**30:.1f} GiB available"
            turns[name].note = f"not enough memory: it needs about {sizes}"
        else:
            fitting.append((name, need))
    for number, names in enumerate(groups(fitting, None if available is None else _USABLE_SHARE * available)):
        began = moment()
        _group({name: jobs[name] for name in names}, turns, threads, seconds, rounds)
        _finish(names, turns, number, began)
    return turns


def groups(needs: Iterable[tuple[str, float]], available: float | None) -> list[list[str]]:
    """Names in order, as many together as fit; each alone fits.

    Args:
        needs: names and bytes.
        available: bytes; None puts all together.
    """
    found: list[list[str]] = []
    used = 0.0
    for name, need in needs:
        if not found or (available is not None and used + need > available):
            found.append([])
            used = 0.0
        found[-1].append(name)
        used += need
    return found


def available_bytes() -> int | None:
    """Memory that a process could take now; None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), None)


def _group(
    jobs: Mapping[str, Mapping[str, Any]], turns: dict[str, Times], threads: int, seconds: float, rounds: int
) -> None:
    # One after the other: choosing a block is a measurement, too.
    with Contestants("race.measurements", jobs, threads, at_once=False) as contestants:
        for name, why in contestants.absent.items():
            turns[name].note = why
        for number in range(rounds):
            for name in contestants.in_turn(number):
                if turns[name].note is None:
                    turns[name].ask(contestants, name, seconds)


def _finish(names: Sequence[str], turns: dict[str, Times], number: int, began: Moment | None) -> None:
    load = other_load(began, moment())
    for name in names:
        turns[name].group, turns[name].other_load = number, load
