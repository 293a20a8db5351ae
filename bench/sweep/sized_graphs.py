"""A graph of a MIMIC or MKGformer bundle at another number of tokens: traced anew, with random weights, on the CPU.

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
from mmkg_sdk.backends.onnxruntime import session_options
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.bundle.graph_specs import GraphSpec
from mmkg_sdk.errors import BackendError, missing_package
from mmkg_sdk.registry import family_part

from .curves import Curve, resized

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


def open_sized(bundle: Bundle, curve: Curve, count: int, backend: str, threads: int) -> SizedGraph:
    """Make the graph and open it.

    Args:
        backend: "torch" or "onnxruntime".

    Raises:
        BackendError: a package is missing, or the runtime does not take the precision.
    """
    try:
        import torch
    except ModuleNotFoundError as err:
        raise missing_package("torch", "train", f"measuring {bundle.family} by its number of tokens") from err
    from torch.utils.flop_counter import FlopCounterMode

    from mmkg_sdk.families.exported import DTYPES

    config = resized(bundle, curve.tokens, count)
    spec = _spec(bundle, config, curve, count)
    sizes = {
        "batch": _BATCH,
        "mentions": 1,
        "candidates": PAIRS["cpu"],
        "text_tokens": getattr(config, "max_length", 0),
    }
    inputs = _random_inputs(spec, config, sizes)
    torch.set_num_threads(threads)
    torch.manual_seed(_SEED)
    model = family_part(bundle.family, "model").build(config.to_json(), {})
    module = family_part(bundle.family, "graphs").graph_modules(model, DTYPES[bundle.precision])[curve.graph]
    in_torch = _in_torch(module, spec, inputs)
    with FlopCounterMode(display=False) as counter:
        outputs = in_torch()
    weights = (buffer for name, buffer in module.named_buffers() if name.endswith(_MULTIPLIED))
    read = sum(buffer.nbytes for buffer in weights)
    read += sum(array.nbytes for array in (*inputs.values(), *outputs.values()))
    run = in_torch if backend == "torch" else _in_onnxruntime(module, spec, inputs, threads)
    items = sizes["candidates"] if curve.unit == "pairs" else _BATCH
    return SizedGraph(inputs, items, run, counter.get_total_flops(), read)


def _spec(bundle: Bundle, config: Any, curve: Curve, count: int) -> GraphSpec:
    spec: GraphSpec = family_part(bundle.family, "graphs").graph_specs(config)[curve.graph]
    if bundle.family == "mkgformer" and curve.tokens == "visual":
        states = [i for i, tensor in enumerate(spec.inputs) if tensor.name == "image_state"]
        inputs = list(spec.inputs)
        for i in states:
            batch, _, width = inputs[i].shape
            inputs[i] = replace(inputs[i], shape=(batch, count, width))
        return replace(spec, inputs=tuple(inputs))
    return spec


def _random_inputs(spec: GraphSpec, config: Any, sizes: dict[str, int]) -> Arrays:
    """Noise as numbers, tokens of any kind, and no padding."""
    random = np.random.default_rng(_SEED)
    inputs: Arrays = {}
    for tensor in spec.inputs:
        shape = tuple(axis if isinstance(axis, int) else sizes[axis.name] for axis in tensor.shape)
        if tensor.name == "input_ids":
            inputs[tensor.name] = random.integers(config.vocabulary_size, size=shape)
        elif tensor.name == "attention_mask":
            inputs[tensor.name] = np.ones(shape, np.int64)
        elif tensor.dtype == "int64":  # token types, and where a question is read: any position costs the same
            inputs[tensor.name] = np.zeros(shape, np.int64)
        else:
            inputs[tensor.name] = random.standard_normal(shape, np.float32).astype(tensor.dtype)
    return inputs


def _in_torch(module: Any, spec: GraphSpec, inputs: Arrays) -> Callable[[], Arrays]:
    import torch

    arguments = [torch.from_numpy(inputs[tensor.name]) for tensor in spec.inputs]

    def run() -> Arrays:
        with torch.inference_mode():
            found = module(*arguments)
        outputs = found if isinstance(found, tuple) else (found,)
        return {tensor.name: output.numpy() for tensor, output in zip(spec.outputs, outputs, strict=True)}

    return run


def _in_onnxruntime(module: Any, spec: GraphSpec, inputs: Arrays, threads: int) -> Callable[[], Arrays]:
    session, names = open_session(module, spec, threads), [tensor.name for tensor in spec.outputs]

    def run() -> Arrays:
        return dict(zip(names, session.run(names, inputs), strict=True))

    return run


def open_session(module: Any, spec: GraphSpec, threads: int) -> Any:
    """A session on the CPU of ONNX Runtime for a module of torch, with the settings of the SDK's own backend.

    Raises:
        BackendError: onnxruntime is missing, or does not take the precision.
    """
    try:
        import onnxruntime
    except ModuleNotFoundError as err:
        raise missing_package("onnxruntime", "cpu", "backend 'onnxruntime'") from err

    from mmkg_sdk.export.onnx_graph import trace_graph

    graph = trace_graph(module, spec).SerializeToString()
    try:
        return onnxruntime.InferenceSession(graph, session_options(threads), providers=["CPUExecutionProvider"])
    except Exception as err:  # ONNX Runtime raises its own types, which are not exported
        raise BackendError(f"{spec.name} could not be opened: {err}") from err
