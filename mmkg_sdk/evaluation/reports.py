"""What the four tasks' evaluations have in common."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

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


def micro_averages(counts: NDArray[np.int64]) -> dict[str, float]:
    """precision, recall, f1, from 0 to 1, over all sentences together; 0 where nothing was found or is right.

    Args:
        counts: int64 [sentences, 3]: hits, what was found, what is right.
    """
    hits, found, right = counts.sum(axis=0).tolist()
    precision, recall = hits / max(1, found), hits / max(1, right)
    f1 = 2 * precision * recall / (precision + recall) if hits else 0.0
    return {"precision": precision, "recall": recall, "f1": f1}
