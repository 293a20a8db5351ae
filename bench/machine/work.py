"""What a measured thing costs at the least, and how near the machine's ceilings that puts a measured rate.

Floating point operations count a multiplication and an addition as two. Bytes are what must be read from memory at the
least: weights once for every batch, gathered rows and the entity's own inputs once, the result written once; what a
runtime reads again is not counted. The two ceilings give the least time of an item; the longer one is its bound.

The operations of entity encoders are given by formulas of their family (families/FAMILY/measuring.py); graphs that are
made for one length are counted by torch's own counter over the exported module (sweep/sized_graphs.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .ceilings import Ceilings

# "launching" is found by timing: the host puts work on a GPU no faster than the GPU does it.
Bound = Literal["arithmetic", "reading", "launching"]
# Precision of a bundle -> arithmetic whose ceiling it is held against.
_ARITHMETIC = {"fp32": "float32", "bf16": "bfloat16"}


@dataclass(frozen=True)
class Work:
    """Of one item: an entity, a text, a query.

    Attributes:
        arithmetic: one of ceilings.ARITHMETIC.
    """

    flop: float
    bytes: float
    arithmetic: str


@dataclass(frozen=True)
class Share:
    """A measured rate beside the ceilings.

    Attributes:
        ceiling_per_second: items per second at the ceiling that binds; None where a ceiling is not known.
        percent: of that.
    """

    gflop_per_second: float
    gb_per_second: float
    ceiling_per_second: float | None
    percent: float | None
    bound: Bound | None


def share_of_ceiling(work: Work, per_second: float, ceilings: Ceilings) -> Share:
    """Where a rate of items stands."""
    return share_of_steps([work], per_second, ceilings)


def share_of_steps(steps: Sequence[Work], per_second: float, ceilings: Ceilings) -> Share:
    """Where a rate of items stands that take several steps, each of which needs what the one before gives.

    The least time of an item is the sum of theirs, and the bound is that of the longest step.
    """
    done, read = (sum(amount) * per_second / 1e9 for amount in zip(*((s.flop, s.bytes) for s in steps), strict=True))
    longest, least, bound = 0.0, 0.0, None
    for step in steps:
        multiplying, reading = ceilings.arithmetic[step.arithmetic].per_second, ceilings.read.per_second
        if not multiplying or not reading:
            return Share(done, read, None, None, None)
        seconds: dict[Bound, float] = {
            "arithmetic": step.flop / multiplying / 1e9,
            "reading": step.bytes / reading / 1e9,
        }
        binds = max(seconds, key=lambda name: seconds[name])
        least += seconds[binds]
        if seconds[binds] >= longest:
            longest, bound = seconds[binds], binds
    return Share(done, read, 1 / least, 100 * per_second * least, bound)


def arithmetic_of(precision: str) -> str | None:
    """The ceiling that a bundle's products are held against; None for float16, of which none is measured."""
    return _ARITHMETIC.get(precision)
