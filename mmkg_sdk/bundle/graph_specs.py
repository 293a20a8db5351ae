"""GraphSpec: what goes into a graph and what comes out. The single source for export, checks and engine profiles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

Dtype = Literal["float32", "float16", "int64", "bool"]


@dataclass(frozen=True)
class Axis:
    """A named axis whose size is free between min and max; `typical` is what an engine is tuned for."""

    name: str
    min: int
    typical: int
    max: int


@dataclass(frozen=True)
class TensorSpec:
    """Name, dtype and axes of one graph input or output; an int is a fixed size."""

    name: str
    dtype: Dtype
    shape: tuple[Axis | int, ...]

    def sizes(self, which: Literal["min", "typical", "max"]) -> tuple[int, ...]:
        """The concrete shape at one end of the range."""
        return tuple(axis if isinstance(axis, int) else int(getattr(axis, which)) for axis in self.shape)

    @property
    def probe_shape(self) -> tuple[int, ...]:
        """The shape that its graph is tried with: two of every free axis, where its range allows it."""
        return tuple(axis if isinstance(axis, int) else min(max(2, axis.min), axis.max) for axis in self.shape)


@dataclass(frozen=True)
class GraphSpec:
    """The signature of one graph.

    `inputs` are those of the torch module. `baked` names the ones that the export turns into constants, so that the
    ONNX file does not have them.
    """

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    baked: tuple[str, ...] = ()

    @property
    def file_name(self) -> str:
        return f"{self.name}.onnx"

    @property
    def exported_inputs(self) -> tuple[TensorSpec, ...]:
        """The inputs of the ONNX file."""
        return tuple(tensor for tensor in self.inputs if tensor.name not in self.baked)

    def axes(self) -> dict[str, Axis]:
        """All free axes by name; an axis has the same range wherever it appears."""
        return _axes(self.inputs)

    def batch_axes(self) -> list[str]:
        """The axes that every output has: along them inputs may be cut, or filled up, and outputs put together."""
        outputs = [{axis.name for axis in tensor.shape if isinstance(axis, Axis)} for tensor in self.outputs]
        return [name for name in self.axes() if all(name in axes for axes in outputs)]

    def output_shapes(self, inputs: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[Dtype, tuple[int, ...]]]:
        """Dtype and shape of every output, given the shapes of the inputs; each free axis is one of an input's.

        Raises:
            KeyError: an input lacks, or an output has an axis that no input has.
            ValueError: an input has another number of axes.
        """
        sizes = {
            axis.name: size
            for tensor in self.exported_inputs
            for axis, size in zip(tensor.shape, inputs[tensor.name], strict=True)
            if isinstance(axis, Axis)
        }
        return {
            tensor.name: (
                tensor.dtype,
                tuple(axis if isinstance(axis, int) else sizes[axis.name] for axis in tensor.shape),
            )
            for tensor in self.outputs
        }

    def to_json(self) -> dict[str, Any]:
        def tensor(spec: TensorSpec) -> dict[str, Any]:
            shape = [axis if isinstance(axis, int) else axis.name for axis in spec.shape]
            return {"name": spec.name, "dtype": spec.dtype, "shape": shape}

        return {
            "inputs": [tensor(spec) for spec in self.exported_inputs],
            "outputs": [tensor(spec) for spec in self.outputs],
            "axes": {n: [axis.min, axis.typical, axis.max] for n, axis in _axes(self.exported_inputs).items()},
        }

    @classmethod
    def from_json(cls, name: str, signature: Mapping[str, Any]) -> Self:
        """The signature that `to_json` wrote; what was baked is not among its inputs any more."""
        axes = {axis: Axis(axis, *sizes) for axis, sizes in signature["axes"].items()}

        def tensor(entry: Mapping[str, Any]) -> TensorSpec:
            shape = tuple(axes[size] if isinstance(size, str) else size for size in entry["shape"])
            return TensorSpec(entry["name"], entry["dtype"], shape)

        return cls(name, tuple(map(tensor, signature["inputs"])), tuple(map(tensor, signature["outputs"])))


def _axes(tensors: tuple[TensorSpec, ...]) -> dict[str, Axis]:
    return {axis.name: axis for tensor in tensors for axis in tensor.shape if isinstance(axis, Axis)}
