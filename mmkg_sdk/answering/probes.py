"""Probes: fixed inputs for every graph of a bundle, and what they gave at export, so that any machine can compare."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backends import Backend
from ..bundle.contents import PROBES
from ..bundle.graph_specs import GraphSpec
from ..errors import BundleError

# Of every free axis, where its range allows it.
_SIZE = 2


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


def probe_differences(
    found: Mapping[str, NDArray[np.float32]], expected: Mapping[str, NDArray[np.float32]]
) -> dict[str, float]:
    """The largest difference of every output found, as a share of the root mean square of what is expected.

    Raises:
        BundleError: an output is not among what is expected.
    """
    differences = {}
    for name, values in found.items():
        wanted = expected.get(name)
        if wanted is None or wanted.shape != values.shape:
            raise BundleError(f"{PROBES} has no {name} of shape {list(values.shape)}. Export the bundle again.")
        scale = float(np.sqrt(np.mean(np.square(wanted, dtype=np.float64)))) or 1.0
        differences[name] = float(np.abs(values - wanted).max()) / scale
    return differences


def _probe(spec: GraphSpec) -> dict[str, NDArray[Any]]:
    """Noise for numbers, id 0 for whole numbers, nothing masked: valid whatever the graph's tables hold."""
    random = np.random.default_rng(0)
    inputs: dict[str, NDArray[Any]] = {}
    for tensor in spec.exported_inputs:
        shape = [axis if isinstance(axis, int) else min(max(_SIZE, axis.min), axis.max) for axis in tensor.shape]
        if tensor.dtype.startswith("float"):
            inputs[tensor.name] = random.standard_normal(shape).astype(tensor.dtype)
        elif tensor.name.endswith("attention_mask"):
            inputs[tensor.name] = np.ones(shape, tensor.dtype)
        else:
            inputs[tensor.name] = np.zeros(shape, tensor.dtype)
    return inputs
