"""A graph of a bundle that is made for one length, at another number of tokens: traced anew, with random weights.

The time of a graph does not depend on its weights, none of its operators looks at values. What is timed is what
`mmkg-sdk export` would write for a model of that length, with the session settings of the SDK's own backend.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmkg_sdk.answering.entity_linking import PAIRS
from mmkg_sdk.backends.base import parse_device
from mmkg_sdk.bundle import QUANTIZED, Bundle
from mmkg_sdk.bundle.graph_specs import GraphSpec
from mmkg_sdk.errors import BackendError, missing_package
from mmkg_sdk.families.measuring import Curve, Resized, measuring
from mmkg_sdk.registry import family_part

from ..machine.sessions import open_module

# Texts, images or questions in one run.
_BATCH = 8
_SEED = 0
# Weights of which every run reads all (families/exported.py).
_MULTIPLIED = ("multiplied_weight", "multiplied_patches")

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class SizedGraph:
    """One graph at one size.

    Attributes:
        inputs: random ones, equal for every runtime.
        items: what a run answers, in the unit of the curve.
        run: one run of `inputs`: the outputs by name.
        flop: of a run: the products of the module, as torch counts them.
        bytes: of a run at the least: weights that are multiplied, inputs and outputs, each once; no tables of which a
            few rows are read.
    """

    inputs: Arrays
    items: int
    run: Callable[[], Arrays]
    flop: int
    bytes: int


def open_sized(bundle: Bundle, curve: Curve, count: int, *, backend: str, device: str, threads: int) -> SizedGraph:
    """Make the graph and open it.

    Args:
        backend: "torch" or "onnxruntime".

    Raises:
        BackendError: a package is missing, or the runtime does not take the precision.
    """
    if bundle.precision in QUANTIZED:
        raise BackendError(
            f"graphs of other lengths are traced for the curves, and those are not in {bundle.precision}. Measure "
            "single questions: --modes single-stream."
        )
    try:
        import torch
    except ModuleNotFoundError as err:
        raise missing_package("torch", "train", f"measuring {bundle.family} by its number of tokens") from err
    from torch.utils.flop_counter import FlopCounterMode

    from mmkg_sdk.families.exported import DTYPES

    resized = measuring(bundle.family).resized(bundle, curve.tokens, count)
    pairs = PAIRS[parse_device(device)[0]]
    spec = _spec(bundle, curve, resized)
    inputs = _random_inputs(spec, resized, {"batch": _BATCH, "mentions": 1, "candidates": pairs, **resized.axes})
    torch.manual_seed(_SEED)
    model = family_part(bundle.family, "model").build(resized.config.to_json(), {})
    module = family_part(bundle.family, "graphs").graph_modules(model, DTYPES[bundle.precision])[curve.graph]
    counted = open_module(module, spec, "torch", device, threads)
    with FlopCounterMode(display=False) as counter:
        outputs = counted(inputs)
    weights = (buffer for name, buffer in module.named_buffers() if name.endswith(_MULTIPLIED))
    read = sum(buffer.nbytes for buffer in weights)
    read += sum(array.nbytes for array in (*inputs.values(), *outputs.values()))
    run = counted if backend == "torch" else open_module(module.cpu(), spec, backend, device, threads)
    items = pairs if curve.unit == "pairs" else _BATCH
    return SizedGraph(inputs, items, lambda: run(inputs), counter.get_total_flops(), read)


def _spec(bundle: Bundle, curve: Curve, resized: Resized) -> GraphSpec:
    """The signature of the graph, with the lengths that its configuration does not tell."""
    spec: GraphSpec = family_part(bundle.family, "graphs").graph_specs(resized.config)[curve.graph]
    inputs = [
        replace(tensor, shape=(tensor.shape[0], resized.lengths[tensor.name], *tensor.shape[2:]))
        if tensor.name in resized.lengths
        else tensor
        for tensor in spec.inputs
    ]
    return replace(spec, inputs=tuple(inputs))


def _random_inputs(spec: GraphSpec, resized: Resized, sizes: dict[str, int]) -> Arrays:
    """Noise as numbers, tokens of any kind, and no padding."""
    random = np.random.default_rng(_SEED)
    inputs: Arrays = {}
    for tensor in spec.inputs:
        shape = tuple(axis if isinstance(axis, int) else sizes[axis.name] for axis in tensor.shape)
        if tensor.name == "input_ids":
            inputs[tensor.name] = random.integers(resized.config.vocabulary_size, size=shape)
        elif tensor.name == "attention_mask":
            inputs[tensor.name] = np.ones(shape, np.int64)
        elif tensor.dtype == "int64":  # token types, and where a question is read: any position costs the same
            inputs[tensor.name] = np.zeros(shape, np.int64)
        else:
            inputs[tensor.name] = random.standard_normal(shape, np.float32).astype(tensor.dtype)
    return inputs
