"""config.pbtxt, written from graph specs: protobuf's text format, which is simple enough to need no protobuf here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...bundle.graph_specs import Axis, GraphSpec, TensorSpec

_TYPES = {"float32": "TYPE_FP32", "float16": "TYPE_FP16", "int64": "TYPE_INT64", "bool": "TYPE_BOOL"}


@dataclass(frozen=True)
class Placing:
    """Where a model runs, and how requests wait for each other.

    Attributes:
        kind: "KIND_AUTO", "KIND_CPU" or "KIND_GPU".
        instances: copies of the model on each device.
        queue_delay_us: how long a request may wait for others to be one batch with; microseconds.
    """

    kind: str = "KIND_AUTO"
    instances: int = 1
    queue_delay_us: int = 100


@dataclass(frozen=True)
class Tensor:
    """An input or output, as config.pbtxt says it; `dims` are those behind the batch, -1 is any size.

    `reshape` are the dims that the graph has, where Triton wants other ones: it knows no tensors of the batch alone.
    """

    name: str
    type: str
    dims: tuple[int, ...]
    reshape: tuple[int, ...] | None = None
    optional: bool = False

    def text(self) -> str:
        reshape = "" if self.reshape is None else f" reshape {{ shape: {list(self.reshape)} }}"
        optional = " optional: true" if self.optional else ""
        return f"  {{ name: {_text(self.name)} data_type: {self.type} dims: {list(self.dims)}{reshape}{optional} }}"


def config_text(
    name: str,
    runs: str,
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    *sections: str,
    max_batch: int,
    parameters: Mapping[str, str] | None = None,
) -> str:
    """The whole file.

    Args:
        runs: the field that says what runs it.
        sections: further fields; of what is no ensemble those of `placed` are among them.
    """
    lists = [
        f"{kind} [\n" + ",\n".join(tensor.text() for tensor in tensors) + "\n]"
        for kind, tensors in (("input", inputs), ("output", outputs))
    ]
    given = [
        f"parameters {{ key: {_text(k)} value {{ string_value: {_text(v)} }} }}" for k, v in (parameters or {}).items()
    ]
    head = [f"name: {_text(name)}", runs, f"max_batch_size: {max_batch}"]
    return "\n".join([*head, *lists, "version_policy { latest { num_versions: 1 } }", *sections, *given, ""])


def placed(placing: Placing) -> str:
    """Where a model runs, and how its requests are put together."""
    return (
        f"dynamic_batching {{ max_queue_delay_microseconds: {placing.queue_delay_us} }}\n"
        f"instance_group [ {{ kind: {placing.kind} count: {placing.instances} }} ]"
    )


def graph_config(spec: GraphSpec, backend: str, placing: Placing) -> str:
    """Of a graph whose tensors all begin with one free axis, on Triton's backend "onnxruntime" or "tensorrt"."""
    batch = batch_of(spec)
    inputs, outputs = graph_tensors(spec)
    warm_up = [_warm_up(spec, inputs, size) for size in sorted({batch.min, batch.typical})]
    runs = f"backend: {_text(backend)}"
    return config_text(spec.name, runs, inputs, outputs, placed(placing), *warm_up, max_batch=batch.max)


def batch_of(spec: GraphSpec) -> Axis:
    """The free axis that all tensors of a graph begin with."""
    (batch,) = {tensor.shape[0] for tensor in (*spec.exported_inputs, *spec.outputs)}
    assert isinstance(batch, Axis)
    return batch


def graph_tensors(spec: GraphSpec) -> tuple[list[Tensor], list[Tensor]]:
    """Inputs and outputs of such a graph."""
    inputs, outputs = ([_tensor(one) for one in tensors] for tensors in (spec.exported_inputs, spec.outputs))
    return inputs, outputs


@dataclass(frozen=True)
class Step:
    """A model of an ensemble: what its inputs and outputs are called there."""

    model: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]

    def text(self) -> str:
        maps = [
            f"{field} {{ key: {_text(own)} value: {_text(there)} }}"
            for field, names in (("input_map", self.inputs), ("output_map", self.outputs))
            for own, there in names.items()
        ]
        return "\n    ".join([f"  {{ model_name: {_text(self.model)} model_version: -1", *maps]) + "\n  }"


def ensemble_config(
    name: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor], steps: Sequence[Step], max_batch: int
) -> str:
    """Of models that answer one after the other; each has batching and places of its own."""
    plan = "ensemble_scheduling { step [\n" + ",\n".join(step.text() for step in steps) + "\n] }"
    return config_text(name, 'platform: "ensemble"', inputs, outputs, plan, max_batch=max_batch)


def _tensor(spec: TensorSpec) -> Tensor:
    dims = tuple(-1 if isinstance(axis, Axis) else axis for axis in spec.shape[1:])
    return Tensor(spec.name, _TYPES[spec.dtype], dims or (1,), None if dims else ())


def _warm_up(spec: GraphSpec, inputs: Sequence[Tensor], batch: int) -> str:
    """Queries of zeros, which every graph answers: row 0 of every table."""
    typical = {tensor.name: tensor.sizes("typical")[1:] or (1,) for tensor in spec.exported_inputs}
    parts = [
        f"  inputs {{ key: {_text(one.name)} value {{ data_type: {one.type} dims: {list(typical[one.name])} "
        "zero_data: true } }"
        for one in inputs
    ]
    name = _text(f"batch of {batch}")
    return "\n".join([f"model_warmup {{ name: {name} batch_size: {batch}", *parts, "}"])


def _text(value: str) -> str:
    """A string of the text format. Names of ours are plain; whatever else is escaped as JSON does."""
    return json.dumps(value)
