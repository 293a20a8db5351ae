"""The frontier: settings that no other beats in both quality and speed, and the one that is recommended."""

from __future__ import annotations

from collections.abc import Sequence

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
