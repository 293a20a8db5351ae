"""How the parameters of a Triton function become those of the compiled kernel.

Triton makes several parameters of a tensor descriptor, and puts two scratch addresses after all. The rule is stated
here. What each compiled kernel says of itself (its KPARAM_INFO records) is held against it when the image is built.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from .specs import KernelSpec

# Compute capability from which a tensor descriptor is a tensor map.
FIRST_TENSOR_MAP_TARGET = 90

_SCALARS = {"i32": 4, "u32": 4, "i64": 8, "u64": 8, "fp32": 4}
_DESCRIPTOR = re.compile(r"tensordesc<(\w+)\[([\d, ]+)\]>")
# CUtensorMapDataType of cuda.h.
_MAP_TYPES = {"fp32": 7, "bf16": 9, "fp16": 6, "i32": 3, "u8": 0}
# Triton numbers element types as devices do; CUtensorMapDataType swaps three of them.
_HOST_MAP_TYPE = {8: 10, 9: 8, 10: 9}


class Kind(IntEnum):
    """What a parameter is; cuda/image/image.h has the same list."""

    INTEGER = 0  # of 4 or 8 bytes
    FLOAT = 1  # float32
    ADDRESS = 2  # a multiple of 16
    TENSOR_MAP = 3  # CUtensorMap, 128 bytes
    TENSOR_ADDRESS = 4  # of a tensor without a map
    EXTENT = 5  # of a tensor along `axis`, in elements
    STRIDE = 6  # of a tensor along `axis`, in elements
    ZERO = 7  # flags and scratch addresses that none of our kernels uses


@dataclass(frozen=True)
class Parameter:
    """One parameter of a compiled kernel.

    Attributes:
        argument: the parameter of the source that it comes from, counted without constants; of ZERO the last one.
        axis: of EXTENT and STRIDE, from the outermost.
        map_type: of TENSOR_MAP: CUtensorMapDataType.
        swizzle: of TENSOR_MAP: CUtensorMapSwizzle.
        box: of TENSOR_MAP: elements that are loaded at a time, from the innermost axis.
    """

    kind: Kind
    argument: int
    bytes: int
    axis: int = 0
    map_type: int = 0
    swizzle: int = 0
    box: tuple[int, ...] = ()


def descriptor(type_name: str) -> tuple[str, tuple[int, ...]] | None:
    """Element type and block of a tensor descriptor's type; None for another type."""
    match = _DESCRIPTOR.fullmatch(type_name)
    return match and (match[1], tuple(int(extent) for extent in match[2].split(",")))


def parameters(spec: KernelSpec, target: int, maps: Sequence[dict[str, Any]] | None = None) -> tuple[Parameter, ...]:
    """Parameters of a kernel compiled for a target, in order.

    Args:
        maps: `tensordesc_meta` of the compiled kernel; None: boxes are the blocks of the source, without a swizzle.

    Raises:
        ValueError: a type that is not known here.
    """
    found: list[Parameter] = []
    types = [spec.signature[name] for name in spec.function.arg_names if name in spec.signature]
    descriptors = 0
    for argument, type_name in enumerate(types):
        if tensor := descriptor(type_name):
            if target < FIRST_TENSOR_MAP_TARGET:
                found += _without_map(argument, len(tensor[1]))
            else:
                found.append(_tensor_map(argument, *tensor, maps[descriptors] if maps else None))
            found += _shape(argument, len(tensor[1]), extent_bytes=4)
            descriptors += 1
        elif type_name.startswith("*"):
            found.append(Parameter(Kind.ADDRESS, argument, 8))
        elif type_name in _SCALARS:
            kind = Kind.FLOAT if type_name == "fp32" else Kind.INTEGER
            found.append(Parameter(kind, argument, _SCALARS[type_name]))
        else:
            raise ValueError(f"kernel {spec.name}: {type_name!r} is no parameter type; there are {sorted(_SCALARS)}.")
    last = max(len(types) - 1, 0)
    return (*found, Parameter(Kind.ZERO, last, 8), Parameter(Kind.ZERO, last, 8))


def sizes_in_cubin(cubin: bytes, symbol: str) -> list[int]:
    """Bytes of each parameter, in order, as a compiled kernel says itself: KPARAM_INFO of its section .nv.info."""
    section = _section(cubin, f".nv.info.{symbol}")
    sizes: dict[int, int] = {}
    at = 0
    while at + 4 <= len(section):
        form, attribute, value = struct.unpack_from("<BBH", section, at)
        at += 4
        if form != 4:  # the value is in the record itself
            continue
        if attribute == 0x17:
            _, ordinal, _, packed = struct.unpack_from("<IHHI", section, at)
            sizes[ordinal] = packed >> 18
        at += value
    return [sizes[ordinal] for ordinal in range(len(sizes))]


def _without_map(argument: int, rank: int) -> list[Parameter]:
    flags = [Parameter(Kind.ZERO, argument, 1)] * 2  # padding is zeros, float32 is not rounded
    return [Parameter(Kind.TENSOR_ADDRESS, argument, 8), *_shape(argument, rank, extent_bytes=8), *flags]


def _shape(argument: int, rank: int, extent_bytes: int) -> list[Parameter]:
    extents = [Parameter(Kind.EXTENT, argument, extent_bytes, axis) for axis in range(rank)]
    return extents + [Parameter(Kind.STRIDE, argument, 8, axis) for axis in range(rank)]


def _tensor_map(argument: int, element: str, block: tuple[int, ...], compiled: dict[str, Any] | None) -> Parameter:
    map_type, swizzle = _MAP_TYPES[element], 0
    if compiled is not None:
        map_type = _HOST_MAP_TYPE.get(compiled["elem_type"], compiled["elem_type"])
        swizzle, block = compiled["swizzle"], tuple(compiled["block_size"])
    if map_type != _MAP_TYPES[element]:
        raise ValueError(f"a tensor map of {element} was compiled as type {map_type}; expected {_MAP_TYPES[element]}.")
    return Parameter(Kind.TENSOR_MAP, argument, 128, 0, map_type, swizzle, block[::-1])


def _section(elf: bytes, name: str) -> bytes:
    """Contents of a section of a 64-bit ELF file."""
    (table,) = struct.unpack_from("<Q", elf, 0x28)
    entry_bytes, count, names = struct.unpack_from("<HHH", elf, 0x3A)
    headers = [struct.unpack_from("<IIQQQQ", elf, table + entry_bytes * number) for number in range(count)]
    names_at = headers[names][4]
    for title, _, _, _, offset, length in headers:
        end = elf.index(b"\0", names_at + title)
        if elf[names_at + title : end].decode() == name:
            return elf[offset : offset + length]
    raise ValueError(f"the compiled kernel has no section {name}.")
