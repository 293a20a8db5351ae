"""Launches as Triton's interpreter runs them, and the image that says so. Needs TRITON_INTERPRET=1 from the start."""

from __future__ import annotations

import ctypes
import traceback
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import triton.language as tl
from triton.runtime.interpreter import (
    GridExecutor,
    TensorHandle,
    interpreter_semantic,
)

from mmkg_sdk.kernels.cuda.triton.image import CodeKind, CompiledKernel, image
from mmkg_sdk.kernels.cuda.triton.parameters import Kind, Parameter, descriptor, parameters
from mmkg_sdk.kernels.cuda.triton.specs import KernelSpec

from .driver import LAUNCH_FAILED, Launcher

_WARP = 32
_NUMBERS = {"i32": np.int32, "u32": np.uint32, "i64": np.int64, "u64": np.uint64, "fp32": np.float32}
_TYPES = {"i32": tl.int32, "u32": tl.uint32, "i64": tl.int64, "u64": tl.uint64, "fp32": tl.float32}


def fake_image(kernels: Iterable[KernelSpec], target: int) -> bytes:
    """An image whose code is the kernel's name: the stand-in's driver looks it up."""
    entries = []
    for spec in kernels:
        if target in spec.targets:
            layout = parameters(spec, target)
            sizes = " ".join(str(parameter.bytes) for parameter in layout)
            code = f"FAKE {spec.name} {len(layout)} {sizes}\0".encode()
            threads = spec.num_warps * _WARP
            names = (spec.name, spec.name)
            facts = (0, threads, layout, spec.whole_constants())
            entries.append(CompiledKernel(*names, target, CodeKind.CUBIN, code, *facts))
    return image(entries)


class InterpretedLaunches:
    """What the stand-in's driver calls for a launch.

    Attributes:
        launcher: to be given to FakeDriver.set_launcher; this object must be kept as long.
        failure: traceback of the last kernel that failed, for the test that wonders.
        launched: names of the kernels that ran, in order.
    """

    def __init__(self, kernels: Iterable[KernelSpec], target: int) -> None:
        self._kernels = {spec.name: spec for spec in kernels if target in spec.targets}
        self._layouts = {name: parameters(spec, target) for name, spec in self._kernels.items()}
        self.failure = ""
        self.launched: list[str] = []
        self.launcher = Launcher(self._launch)

    def _launch(self, name: bytes, grid: Any, threads: int, shared: int, places: Any) -> int:
        try:
            spec = self._kernels[name.decode()]
            assert threads == spec.num_warps * _WARP
            self.launched.append(spec.name)
            arguments = _arguments(spec, self._layouts[spec.name], places)
            _OnMemory(spec.function.rewrite(), spec.function.arg_names, tuple(grid[:3]))(
                **arguments, **{constant: tl.constexpr(value) for constant, value in spec.constants.items()}
            )
        except BaseException:
            self.failure = traceback.format_exc()
            print(self.failure)
            return LAUNCH_FAILED
        return 0


class _OnMemory(GridExecutor):  # type: ignore[misc]
    """Arguments are addresses already: nothing is copied to the host and back."""

    def _init_args_hst(self, args: Any, kwargs: Any) -> tuple[Any, Any]:
        return args, kwargs

    def _restore_args_dev(self, *ignored: Any) -> None:
        pass


def _arguments(spec: KernelSpec, layout: tuple[Parameter, ...], places: Any) -> dict[str, Any]:
    names = [name for name in spec.function.arg_names if name in spec.signature]
    values: dict[int, list[tuple[Parameter, int]]] = {}
    for place, parameter in enumerate(layout):
        values.setdefault(parameter.argument, []).append((parameter, places[place]))
    return {name: _argument(spec.signature[name], values[place]) for place, name in enumerate(names)}


def _argument(type_name: str, values: list[tuple[Parameter, int]]) -> Any:
    tensor = descriptor(type_name)
    if tensor:
        return _descriptor(*tensor, values)
    first = values[0][1]
    if type_name.startswith("*"):
        return _pointer(ctypes.c_uint64.from_address(first).value, type_name[1:])
    number = np.frombuffer(ctypes.string_at(first, _NUMBERS[type_name]().nbytes), _NUMBERS[type_name])
    return tl.tensor(TensorHandle(number.copy(), _TYPES[type_name]), _TYPES[type_name])


def _descriptor(element: str, block: tuple[int, ...], values: list[tuple[Parameter, int]]) -> Any:
    by_kind: Mapping[Kind, dict[int, int]] = {kind: {} for kind in Kind}
    for parameter, place in values:
        if parameter.kind is Kind.TENSOR_MAP:
            by_kind[Kind.TENSOR_ADDRESS][0] = ctypes.c_uint64.from_address(place).value
        else:
            number = int.from_bytes(ctypes.string_at(place, parameter.bytes), "little")
            by_kind[parameter.kind][parameter.axis] = number
    extents, strides = by_kind[Kind.EXTENT], by_kind[Kind.STRIDE]
    last = len(block) - 1
    assert strides[last] == 1
    return interpreter_semantic.make_tensor_descriptor(
        base=_pointer(by_kind[Kind.TENSOR_ADDRESS][0], element),
        shape=[_integer(extents[axis], np.int32, tl.int32) for axis in range(last + 1)],
        strides=[*(_integer(strides[axis], np.int64, tl.int64) for axis in range(last)), tl.constexpr(1)],
        block_shape=[tl.constexpr(extent) for extent in block],
        padding_option="zero",
    )


def _pointer(address: int, element: str) -> Any:
    kind = tl.pointer_type(tl.str_to_ty(element, None))
    return tl.tensor(TensorHandle(np.array([address], np.uint64), kind), kind)


def _integer(value: int, dtype: Any, kind: Any) -> Any:
    return tl.tensor(TensorHandle(np.array([value], dtype), kind), kind)
