"""The frontier: how fast each setting is, those that no other beats in both quality and speed, the recommended one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from ..changes.conditions import Condition, Subject

ROUNDS = 3
RULE = (
    "Recommended: the fastest setting on the frontier of which the paired 95 % interval of the difference from the "
    "best setting reaches 0; of equally fast ones the best. The split that is measured chooses it: choose on the "
    "validation split (--split valid) where the test split is to stay unseen."
)


def on_frontier(values: Sequence[float], speeds: Sequence[float]) -> list[bool]:
    """Of each setting whether none is at least as good and as fast, and better in one of both."""
    points = list(zip(values, speeds, strict=True))
    return [
        not any(other >= value and faster >= speed and (other > value or faster > speed) for other, faster in points)
        for value, speed in points
    ]


def recommended(values: Sequence[float], speeds: Sequence[float], ties_best: Sequence[bool]) -> int:
    """The place of the recommended setting, see RULE.

    Args:
        ties_best: of each setting whether the interval of its difference from the best reaches 0.
    """
    marked = on_frontier(values, speeds)
    best = max(range(len(values)), key=lambda place: (values[place], speeds[place]))
    able = [place for place in range(len(values)) if marked[place] and (ties_best[place] or place == best)]
    return max(able, key=lambda place: (speeds[place], values[place]))


def speeds(
    subject: Subject, conditions: Sequence[Condition], seconds: float, progress: Callable[[str], None]
) -> list[list[float]]:
    """Of each setting what it encodes per second, a sample for each run; at least one run in each of three rounds.

    Settings take turns, so that other work on the machine meets all alike.

    Args:
        seconds: measuring time of a setting, over all rounds.
    """
    found: list[list[float]] = [[] for _ in conditions]
    for number in range(ROUNDS):
        progress(f"speed of {len(conditions)} settings, round {number + 1} of {ROUNDS}")
        order = range(len(conditions))
        for place in order[:: -1 if number % 2 else 1]:
            given = conditions[place].make(conditions[place].seeds[0])
            subject.run_once(given)
            found[place] += _samples(subject, given, seconds / ROUNDS)
    return found


def _samples(subject: Subject, given: Any, seconds: float) -> list[float]:
    found: list[float] = []
    began = last = time.perf_counter()
    while not found or last - began < seconds:
        count = subject.run_once(given)
        now = time.perf_counter()
        found.append(count / (now - last))
        last = now
    return found
