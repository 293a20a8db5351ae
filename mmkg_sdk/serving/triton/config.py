"""config.pbtxt, written from graph specs: protobuf's text format, which is simple enough to need no protobuf here."""

from __future__ import annotations

import json
from collections.abc import Sequence
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
    backend: str,
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    placing: Placing,
    *,
    max_batch: int,
    warm_up: str = "",
    parameters: dict[str, str] | None = None,
) -> str:
    """The whole file."""
    lists = [
        f"{kind} [\n" + ",\n".join(tensor.text() for tensor in tensors) + "\n]"
        for kind, tensors in (("input", inputs), ("output", outputs))
    ]
    given = [
        f"parameters {{ key: {_text(k)} value {{ string_value: {_text(v)} }} }}" for k, v in (parameters or {}).items()
    ]
    return "\n".join(
        [
            f"name: {_text(name)}",
            f"backend: {_text(backend)}",
            f"max_batch_size: {max_batch}",
            *lists,
            f"dynamic_batching {{ max_queue_delay_microseconds: {placing.queue_delay_us} }}",
            f"instance_group [ {{ kind: {placing.kind} count: {placing.instances} }} ]",
            "version_policy { latest { num_versions: 1 } }",
            *given,
            *([warm_up] if warm_up else []),
            "",
        ]
    )


def graph_config(spec: GraphSpec, placing: Placing) -> str:
    """Of a graph whose tensors all begin with one free axis, on Triton's ONNX Runtime backend."""
    (batch,) = {tensor.shape[0] for tensor in (*spec.exported_inputs, *spec.outputs)}
    assert isinstance(batch, Axis)
    inputs, outputs = [[_tensor(one) for one in tensors] for tensors in (spec.exported_inputs, spec.outputs)]
    sizes = sorted({batch.min, batch.typical})
    return config_text(
        spec.name,
        "onnxruntime",
        inputs,
        outputs,
        placing,
        max_batch=batch.max,
        warm_up="\n".join(_warm_up(spec, inputs, size) for size in sizes),
    )


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
