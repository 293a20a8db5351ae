"""GraphSpec: what goes into a graph and what comes out. The single source for export, checks and engine profiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Dtype = Literal["float32", "int64", "bool"]


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


@dataclass(frozen=True)
class GraphSpec:
    """The signature of one exported graph."""

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    @property
    def file_name(self) -> str:
        return f"{self.name}.onnx"

    def axes(self) -> dict[str, Axis]:
        """All free axes by name; an axis has the same range wherever it appears."""
        return {axis.name: axis for tensor in self.inputs for axis in tensor.shape if isinstance(axis, Axis)}

    def to_json(self) -> dict[str, Any]:
        def tensor(spec: TensorSpec) -> dict[str, Any]:
            shape = [axis if isinstance(axis, int) else axis.name for axis in spec.shape]
            return {"name": spec.name, "dtype": spec.dtype, "shape": shape}

        return {
            "inputs": [tensor(spec) for spec in self.inputs],
            "outputs": [tensor(spec) for spec in self.outputs],
            "axes": {name: [axis.min, axis.typical, axis.max] for name, axis in self.axes().items()},
        }
