"""Verify a bundle: its files (hashes, shapes, labels), and that its graphs compute what they did at export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bundle.contents import PROBES
from ..errors import BundleError
from ..families import contract
from ..families.entity_batch import EntityBatch
from .link_prediction import Model
from .opening import load
from .probes import probe_differences, probe_outputs

# Largest difference as a share of the root mean square; an export on another processor differs by rounding only.
_LIMITS = {"fp32": 1e-4, "fp16": 2e-2, "bf16": 1.5e-1}
_ROWS = 512


def verify_bundle(path: Path, *, backend: str = "auto", device: str = "auto") -> dict[str, Any]:
    """Open a bundle, which checks every file, then run each of its graphs on its probe and its own entities.

    Returns:
        {"bundle", "files", "backend", "limit", "NAME difference"..., "passed"}; differences are relative to the
        root mean square of what is expected.

    Raises:
        BundleError: a file is not what it should be.
        BackendError: a graph does not run.
    """
    with load(path, backend, device) as opened:
        bundle = opened.bundle
        limit = _LIMITS[bundle.precision]
        differences = probe_differences(probe_outputs(opened.backend, bundle.graphs), _expected(bundle.path))
        if isinstance(opened, Model):
            differences |= _encoder_differences(opened)
        return {
            "bundle": str(path),
            "files": len(bundle.manifest["files"]),
            "backend": f"{opened.backend.name} on {opened.backend.device}",
            "limit": limit,
            **{f"{name} difference": value for name, value in differences.items()},
            "passed": all(value <= limit for value in differences.values()),
        }


def _expected(folder: Path) -> dict[str, NDArray[np.float32]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return dict(load_file(folder / PROBES))
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as err:
        raise BundleError(f"{folder / PROBES} is not a valid safetensors file ({err}). Export again.") from err


def _encoder_differences(model: Model) -> dict[str, float]:
    """How far the encoders are from the table, for some of the bundle's own entities."""
    graphs = [graph for graph in model.bundle.graphs if graph.startswith("entity_encoder")]
    if not graphs:
        return {}
    chosen = np.unique(np.linspace(0, len(model.table) - 1, min(_ROWS, len(model.table))).astype(np.int64))
    own = contract.link_runtime(model.bundle.family).bundle_entities(model.bundle)
    assert own is not None  # who has an encoder has what it was fed
    batch = EntityBatch(own.rows(chosen), own.token_count)
    scale = float(np.sqrt(np.mean(np.square(model.table, dtype=np.float64)))) or 1.0
    return {
        graph: float(np.abs(model.encode_batch(batch, graph)["vectors"] - model.table[chosen]).max()) / scale
        for graph in graphs
    }
