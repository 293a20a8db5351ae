"""Entities per second at each setting, in turns, so that other work on the machine meets all settings alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from .conditions import Condition, Subject

ROUNDS = 3


def speeds(
    subject: Subject, conditions: Sequence[Condition], seconds: float, progress: Callable[[str], None]
) -> list[list[float]]:
    """Of each setting what it encodes per second, a sample for each run; at least one run in each of three rounds.

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
