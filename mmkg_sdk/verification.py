"""Verify a bundle: its files (hashes, shapes, labels) and that its graphs reproduce its own table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .entity_batch import EntityBatch
from .errors import BundleError
from .families import family_part
from .known_triples import TAIL, Queries
from .model import Model
from .opening import load

# Largest difference between the table and the encoder's output on this machine, as a share of the table's root mean
# square; an export on another processor differs by rounding only.
_LIMITS = {"fp32": 1e-4, "fp16": 2e-2, "bf16": 1.5e-1}
_ROWS = 512


def verify_bundle(path: Path, *, backend: str = "auto", device: str = "auto") -> dict[str, Any]:
    """Open a bundle, which checks every file, then run each of its graphs on its own data.

    Returns:
        {"bundle", "files", "backend", "limit", "GRAPH difference"..., "passed"}; differences are relative to the
        root mean square of the table.

    Raises:
        BundleError: a file is not what it should be.
        BackendError: a graph does not run.
    """
    with load(path, backend, device) as model:
        limit = _LIMITS[model.bundle.precision]
        differences = _encoder_differences(model)
        queries = Queries.for_triples(np.array([[0, 0, 0]]), TAIL)
        vectors = model.query_vectors(queries)
        if vectors.shape != (1, model.table.shape[1]):
            raise BundleError(f"{path}: query_encoder gives shape {list(vectors.shape)}.")
        return {
            "bundle": str(path),
            "files": len(model.bundle.manifest["files"]),
            "backend": f"{model.backend.name} on {model.backend.device}",
            "limit": limit,
            **{f"{graph} difference": value for graph, value in differences.items()},
            "passed": all(value <= limit for value in differences.values()),
        }


def _encoder_differences(model: Model) -> dict[str, float]:
    if not any(graph.startswith("entity_encoder") for graph in model.bundle.graphs):
        return {}
    chosen = np.unique(np.linspace(0, len(model.table) - 1, min(_ROWS, len(model.table))).astype(np.int64))
    own = family_part(model.bundle.family, "runtime").bundle_entities(model.bundle)
    batch = EntityBatch(own.rows(chosen), own.token_count)
    scale = float(np.sqrt(np.mean(np.square(model.table, dtype=np.float64)))) or 1.0
    return {
        graph: float(np.abs(model.encode_batch(batch, graph)["vectors"] - model.table[chosen]).max()) / scale
        for graph in model.bundle.graphs
        if graph.startswith("entity_encoder")
    }
