"""What the four tasks' evaluations have in common."""

from __future__ import annotations

from typing import Any, Protocol

# Without a validation split, so many training examples stand for it.
VALIDATION_STAND_IN = 1000


class Report(Protocol):
    """What every task's evaluation gives."""

    def metrics(self) -> dict[str, float]:
        """The published metrics by name."""
        ...

    def to_json(self) -> dict[str, Any]:
        """The metrics and what they were counted on."""
        ...
