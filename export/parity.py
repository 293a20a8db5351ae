"""Parity: how far a bundle is from the float64 torch model it was made of. Each task has its own comparisons."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Largest allowed error of a vector or score, as a share of the root mean square of the reference. Measured errors
# on trained and random models are about 1e-6, 1e-3 and 1e-2; the limits leave room for deeper and wider models.
ERROR_LIMITS = {"fp32": 5e-5, "fp16": 2e-2, "bf16": 1.5e-1}
# Largest allowed change of the MRR on the compared queries.
MRR_LIMITS = {"fp32": 1e-6, "fp16": 2e-3, "bf16": 1e-2}


@dataclass(frozen=True)
class ParityCheck:
    """One comparison: what was compared, how large the difference is, and what is allowed."""

    subject: str
    measure: str
    value: float
    limit: float

    @property
    def passed(self) -> bool:
        return self.value <= self.limit  # False for NaN


@dataclass(frozen=True)
class ParityReport:
    """All comparisons of one export."""

    precision: str
    backend: str
    checks: tuple[ParityCheck, ...]

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """What was compared, with its limits, and whether all of it passed."""
        return {
            "reference": "float64 torch",
            "precision": self.precision,
            "backend": self.backend,
            "passed": self.passed,
            "checks": [asdict(check) | {"passed": check.passed} for check in self.checks],
        }

    def __str__(self) -> str:
        width = max(len(check.subject) for check in self.checks)
        lines = [f"{'graph':<{width}}  {'difference':>10}  {'limit':>8}      measure"]
        for check in self.checks:
            mark = "ok" if check.passed else "FAIL"
            lines.append(
                f"{check.subject:<{width}}  {check.value:>10.2e}  {check.limit:>8.1e}  {mark:<4}{check.measure}"
            )
        return "\n".join(lines)


def relative_error(
    found: NDArray[Any], expected: NDArray[np.float64], scale: NDArray[np.float64] | None = None
) -> float:
    """The largest difference, as a share of the root mean square of `scale` (None: of what is expected)."""
    return float(np.abs(found - expected).max()) / root_mean_square(expected if scale is None else scale)


def root_mean_square(values: NDArray[np.float64]) -> float:
    """Of all values; 1 if it is 0."""
    return float(np.sqrt(np.mean(np.square(values)))) or 1.0


def misplaced(found: NDArray[np.int64], expected: NDArray[np.float64], slack: float) -> float:
    """Share of rows whose found ids are not a top-k of the reference, two scores within `slack` being a tie."""
    k = min(found.shape[1], expected.shape[1])
    kth = -np.sort(-expected, axis=1)[:, k - 1 : k]
    own = np.take_along_axis(expected, found[:, :k], axis=1)
    return float((own < kth - 2 * slack).any(axis=1).mean())
