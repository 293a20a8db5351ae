"""Parity: how far a bundle is from the float64 torch model it was made of. Each task has its own comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Largest allowed error of a vector or score, as a share of the root mean square of the reference. Measured errors
# on trained and random models are about 1e-6, 1e-3 and 1e-2; the limits leave room for deeper and wider models.
# For int8 and fp8 they went to 5e-2 and 2.2e-1, of random miniatures, whose products are short.
ERROR_LIMITS = {"fp32": 5e-5, "fp16": 2e-2, "bf16": 1.5e-1, "int8": 2e-1, "fp8": 4e-1}
# Largest allowed change of the MRR on the compared queries.
MRR_LIMITS = {"fp32": 1e-6, "fp16": 2e-3, "bf16": 1e-2, "int8": 2e-2, "fp8": 2e-2}
# Of the queries, drawn again with replacement.
_RESAMPLES = 1000


@dataclass(frozen=True)
class ParityCheck:
    """One comparison: what was compared, how large the difference is, and what is allowed.

    Attributes:
        limit: of the value without its sign; None: the value is reported and not judged.
        queries: so many were asked; None where the value is no share or mean of queries.
        interval: of a mean over queries, 95 %, by a paired bootstrap.
    """

    subject: str
    measure: str
    value: float
    limit: float | None
    queries: int | None = None
    interval: tuple[float, float] | None = None

    @property
    def passed(self) -> bool:
        return self.limit is None or abs(self.value) <= self.limit  # False for NaN

    def __str__(self) -> str:
        limit = "-" if self.limit is None else f"{self.limit:.1e}"
        said = [self.measure]
        if self.queries is not None:
            said.append(f"{self.queries:,} queries")
        if self.interval is not None:
            said.append("95 % of paired bootstraps {:+.1e} to {:+.1e}".format(*self.interval))
        value = f"{self.value:.2e}" if self.interval is None else f"{self.value:+.2e}"
        return f"{value:>10}  {limit:>8}  {'ok' if self.passed else 'FAIL':<4}{', '.join(said)}"


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
        return "\n".join([*lines, *(f"{check.subject:<{width}}  {check}" for check in self.checks)])


def relative_error(
    found: NDArray[Any], expected: NDArray[np.float64], scale: NDArray[np.float64] | None = None
) -> float:
    """The largest difference, as a share of the root mean square of `scale` (None: of what is expected)."""
    return float(np.abs(found - expected).max()) / root_mean_square(expected if scale is None else scale)


def root_mean_square(values: NDArray[np.float64]) -> float:
    """Of all values; 1 if it is 0."""
    return float(np.sqrt(np.mean(np.square(values)))) or 1.0


def ranking_checks(
    subject: str, asked: str, found: NDArray[np.int64], expected: NDArray[np.float64], slack: float
) -> list[ParityCheck]:
    """How the best ids of each query differ from the reference's: as sets, beyond the tolerance, and in their order.

    Args:
        asked: of whom, for the measure.
        found: the best ids of each query, best first, [queries, at least k].
        expected: the reference's scores, [queries, candidates].
        slack: the error of a score that is allowed; only what cannot come of it is judged.
    """
    return TopDifferences.of(found, expected).checks(subject, asked, slack)


def mrr_check(subject: str, measure: str, found: NDArray[Any], ideal: NDArray[Any], limit: float) -> ParityCheck:
    """The signed change of the mean reciprocal rank, with what it could have been for other queries of their kind.

    Args:
        found, ideal: the ranks of the right answers to the same queries, from 1.
    """
    changes = (1.0 / found - 1.0 / ideal).ravel()
    random = np.random.default_rng(0)
    means = changes[random.integers(0, len(changes), (_RESAMPLES, len(changes)))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return ParityCheck(subject, measure, float(changes.mean()), limit, len(changes), (float(low), float(high)))


@dataclass(frozen=True)
class TopDifferences:
    """How the best candidates of each query differ from the reference's.

    Attributes:
        k: so many were compared.
        order, sets: bool [queries], whether they come in another order, and are others.
        gap: float64 [queries], how much less than the reference's k-th best score the worst of them has there.
    """

    k: int
    order: NDArray[np.bool_]
    sets: NDArray[np.bool_]
    gap: NDArray[np.float64]

    @classmethod
    def of(cls, found: NDArray[np.int64], expected: NDArray[np.float64]) -> TopDifferences:
        """See `ranking_checks` for the arguments."""
        ideal = np.argsort(-expected, axis=1, kind="stable")[:, : found.shape[1]]
        k = ideal.shape[1]
        order = (found[:, :k] != ideal).any(axis=1)
        sets = (np.sort(found[:, :k], axis=1) != np.sort(ideal, axis=1)).any(axis=1)
        own = np.take_along_axis(expected, found[:, :k], axis=1).min(axis=1)
        return cls(k, order, sets, np.take_along_axis(expected, ideal[:, -1:], axis=1)[:, 0] - own)

    @classmethod
    def joined(cls, parts: Sequence[TopDifferences]) -> TopDifferences:
        """Those of all queries, from some at a time."""
        arrays = (np.concatenate([getattr(part, name) for part in parts]) for name in ("order", "sets", "gap"))
        return cls(parts[0].k, *arrays)

    def checks(self, subject: str, asked: str, slack: float) -> list[ParityCheck]:
        """See `ranking_checks`. Two scores within twice the slack may be a tie that fell the other way."""
        k, queries, beyond = self.k, len(self.order), float((self.gap > 2 * slack).mean())
        return [
            ParityCheck(
                subject, f"{asked}: share with another order of the top {k}", float(self.order.mean()), None, queries
            ),
            ParityCheck(
                subject, f"{asked}: share with another set of the top {k}", float(self.sets.mean()), None, queries
            ),
            ParityCheck(subject, f"{asked}: share with another top {k} beyond the tolerance", beyond, 0.0, queries),
        ]


class ScoreComparison:
    """Scores and best candidates of queries that are asked some at a time, against the reference's."""

    def __init__(self) -> None:
        self._largest = self._squares = 0.0
        self._count = 0
        self._tops: list[TopDifferences] = []

    def add(self, found: NDArray[Any], own: NDArray[np.float64], best: NDArray[Any], expected: NDArray[Any]) -> None:
        """Compare some queries.

        Args:
            found: scores, [queries, any]; own: the reference's scores of the same candidates.
            best: the best ids of each query, best first, [queries, k].
            expected: the reference's scores of all candidates, float64 [queries, candidates].
        """
        self._largest = np.maximum(self._largest, np.abs(found - own).max())  # NaN stays
        self._squares += float(np.square(expected).sum())
        self._count += expected.size
        self._tops.append(TopDifferences.of(best, expected))

    def checks(self, subject: str, asked: str, limit: float) -> list[ParityCheck]:
        """The largest error, as a share of the root mean square of the reference, and the rankings.

        Args:
            limit: of that share.
        """
        scale = float(np.sqrt(self._squares / self._count)) or 1.0
        error = ParityCheck(subject, f"{asked}: largest score error / rms", float(self._largest) / scale, limit)
        return [error, *TopDifferences.joined(self._tops).checks(subject, asked, limit * scale)]
