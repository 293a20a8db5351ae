"""Probes: fixed inputs for every graph of a bundle, and what they gave at export, so that any machine can compare."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backends import Backend
from ..bundle import Bundle
from ..bundle.contents import PROBES
from ..bundle.graph_specs import GraphSpec
from ..errors import BackendError, BundleError
from ..files.tensors import tensors_in

# Largest difference as a share of the root mean square; an export on another processor differs by rounding only.
LIMITS = {"fp32": 1e-4, "fp16": 2e-2, "bf16": 1.5e-1, "int8": 2e-1, "fp8": 4e-1}


def probe_outputs(backend: Backend, graphs: Mapping[str, GraphSpec]) -> dict[str, NDArray[np.float32]]:
    """What every graph gives for its probe: GRAPH.OUTPUT -> float32; outputs of whole numbers are left out.

    Args:
        graphs: signatures by name, as `Bundle.graphs`; those that the backend does not have are left out.
    """
    found = {}
    for graph, spec in graphs.items():
        if graph == "complete" and backend.name == "torch":
            continue  # made of the others; the torch backend does not carry it
        for name, values in backend.run(graph, _probe(spec)).items():
            if values.dtype.kind == "f":
                found[f"{graph}.{name}"] = values.astype(np.float32)
    return found


def kept_outputs(bundle: Bundle) -> dict[str, NDArray[Any]]:
    """What probes.safetensors holds: the outputs of all graphs, and the answers, at export.

    Raises:
        BundleError: it is damaged, or a number is not finite.
    """
    from safetensors import SafetensorError

    try:
        kept = tensors_in(bundle.files[PROBES])
    except SafetensorError as err:
        raise BundleError(f"{bundle.path / PROBES} is not a valid safetensors file ({err}). Export again.") from err
    for name, array in kept.items():
        if array.dtype != np.float32 or not np.isfinite(array).all():
            raise BundleError(f"{bundle.path / PROBES}: {name!r:.80} is {array.dtype}, or not finite. Export again.")
    return kept


def largest_difference(name: str, found: NDArray[np.float32], wanted: NDArray[Any] | None) -> float:
    """As a share of the root mean square of what is wanted.

    Raises:
        BundleError: nothing is wanted of this name, or another shape.
        BackendError: what was found is not finite.
    """
    if wanted is None or wanted.shape != found.shape:
        shape = "nothing" if wanted is None else list(wanted.shape)
        raise BundleError(f"{PROBES} has {shape} as {name}, the bundle gives {list(found.shape)}. Export it again.")
    if not np.isfinite(found).all():
        raise BackendError(f"{name} of a probe is NaN or infinity. Export the bundle again, from a sound run.")
    if not found.size:
        return 0.0
    scale = float(np.sqrt(np.mean(np.square(wanted, dtype=np.float64)))) or 1.0
    return float(np.abs(found.astype(np.float64) - wanted).max()) / scale


def _probe(spec: GraphSpec) -> dict[str, NDArray[Any]]:
    """Noise for numbers, id 0 for whole numbers, nothing masked: valid whatever the graph's tables hold."""
    random = np.random.default_rng(0)
    inputs: dict[str, NDArray[Any]] = {}
    for tensor in spec.exported_inputs:
        if tensor.dtype.startswith("float"):
            inputs[tensor.name] = random.standard_normal(tensor.probe_shape).astype(tensor.dtype)
        elif tensor.name.endswith("attention_mask"):
            inputs[tensor.name] = np.ones(tensor.probe_shape, tensor.dtype)
        else:
            inputs[tensor.name] = np.zeros(tensor.probe_shape, tensor.dtype)
    return inputs
