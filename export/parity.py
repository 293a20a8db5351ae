"""Parity: how far a bundle is from the float64 torch model it was made of, by value and by rank.

Rankings are compared with ties in mind: two candidates whose reference scores differ by no more than the measured
error limit may change places; any other difference fails.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmkg_sdk.entity_inputs import EntityBatch, bundle_entities
from mmkg_sdk.evaluation.link_prediction import evaluate_link_prediction
from mmkg_sdk.known_triples import HEAD, TAIL, Queries
from mmkg_sdk.model import Model

# Largest allowed error of a vector or score, as a share of the root mean square of the reference. Measured errors
# on trained and random models are about 1e-6, 1e-3 and 1e-2; the limits leave room for deeper and wider models.
ERROR_LIMITS = {"fp32": 5e-5, "fp16": 2e-2, "bf16": 1.5e-1}
# Largest allowed change of the filtered MRR on the compared queries.
MRR_LIMITS = {"fp32": 1e-6, "fp16": 2e-3, "bf16": 1e-2}
TOP = 10
MAX_ENTITIES = 2048
MAX_TRIPLES = 128

Scorer = Callable[[Queries], NDArray[Any]]


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


def compare(model: Model, reference_table: NDArray[np.float64], reference: Scorer) -> ParityReport:
    """Run every graph of an exported model on its own data and compare with the reference.

    Args:
        model: the exported bundle on a backend.
        reference_table: float64 [num_entities, d]; reference: float64 scores of all entities for a chunk of queries.
    """
    limit = ERROR_LIMITS[model.bundle.precision]
    checks = _encoder_checks(model, reference_table, limit)
    triples = _sample(_asked_triples(model), MAX_TRIPLES)
    for direction, side in ((TAIL, "tails"), (HEAD, "heads")):
        queries = Queries.for_triples(triples, direction)
        expected, found = reference(queries), model.score_queries(queries)
        error = _error(found, expected)
        checks.append(ParityCheck("query_encoder", f"{side}: largest score error / rms", error, limit))
        slack = limit * _rms(expected)
        wrong = _misplaced(np.argsort(-found, axis=1, kind="stable")[:, :TOP], expected, slack)
        checks.append(ParityCheck("query_encoder", f"{side}: share of queries with another top {TOP}", wrong, 0.0))
        if "complete" in model.bundle.graphs and model.backend.name == "onnxruntime":
            checks += _complete_checks(model, queries, expected, side, limit)
    known = model.bundle.known_triples
    ranked = evaluate_link_prediction(model.score_queries, triples, known)
    ideal = evaluate_link_prediction(reference, triples, known)
    change = abs(ranked.metrics()["mrr"] - ideal.metrics()["mrr"])
    checks.append(
        ParityCheck("query_encoder", "change of the filtered MRR", change, MRR_LIMITS[model.bundle.precision])
    )
    return ParityReport(model.bundle.precision, model.backend.name, tuple(checks))


def _encoder_checks(model: Model, reference: NDArray[np.float64], limit: float) -> list[ParityCheck]:
    chosen = _sample(np.arange(len(reference)), MAX_ENTITIES)
    batch = EntityBatch({name: array[chosen] for name, array in bundle_entities(model.bundle).arrays.items()})
    checks = [
        ParityCheck(
            graph,
            "largest vector error / rms",
            _error(model.encode_batch(batch, graph), reference[chosen]),
            limit,
        )
        for graph in ("entity_encoder", "entity_encoder_token_table")
        if graph in model.bundle.graphs
    ]
    table_error = _error(model.table, reference)
    return [*checks, ParityCheck("table", "largest vector error / rms", table_error, ERROR_LIMITS["fp32"])]


def _complete_checks(
    model: Model, queries: Queries, expected: NDArray[np.float64], side: str, limit: float
) -> list[ParityCheck]:
    inputs = {"entity": queries.entity, "relation": queries.relation, "direction": queries.direction}
    found = model.backend.run("complete", inputs)
    own = np.take_along_axis(expected, found["ids"], axis=1)
    slack = limit * _rms(expected)
    wrong = _misplaced(found["ids"][:, :TOP], expected, slack)
    return [
        ParityCheck("complete", f"{side}: largest score error / rms", _error(found["scores"], own, expected), limit),
        ParityCheck("complete", f"{side}: share of queries with another top {TOP}", wrong, 0.0),
    ]


def _misplaced(found: NDArray[np.int64], expected: NDArray[np.float64], slack: float) -> float:
    """Share of rows whose found ids are not a top-k of the reference, two scores within `slack` being a tie."""
    k = min(found.shape[1], expected.shape[1])
    kth = -np.sort(-expected, axis=1)[:, k - 1 : k]
    own = np.take_along_axis(expected, found[:, :k], axis=1)
    return float((own < kth - 2 * slack).any(axis=1).mean())


def _error(found: NDArray[Any], expected: NDArray[np.float64], scale: NDArray[np.float64] | None = None) -> float:
    return float(np.abs(found - expected).max()) / _rms(expected if scale is None else scale)


def _rms(values: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(np.square(values)))) or 1.0


def _asked_triples(model: Model) -> NDArray[np.int64]:
    """Test triples, or what there is."""
    for split in ("test", "valid", "train"):
        if len(model.bundle.triples[split]):
            return model.bundle.triples[split]
    return np.zeros((1, 3), dtype=np.int64)  # a bundle without triples still answers (0, 0, ?)


def _sample(rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Evenly spaced rows, at most `count`."""
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(np.int64))]
