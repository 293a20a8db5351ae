"""The image: the one file that holds all compiled kernels (mmkg_cuda.bin).

Not compressed, since wheels and git compress. Numbers are little-endian. Read by cuda/image/image.cpp.

    header       magic "MMKGCUDA" | u32 version | u32 entries | u32 parameters | u32 constants |
                 u32 CRC-32 of the three tables | u32 0 | u64 bytes
    entries      name[64] | symbol[64] | u32 target | u32 kind | u64 offset | u64 bytes | u32 shared memory in bytes |
                 u32 threads of a block | u32 first parameter | u32 parameters | u32 first constant | u32 constants |
                 u32 CRC-32 of the code | u32 0
    parameters   u32 kind | argument | bytes | axis | map type | swizzle | rank of the box | box[5]
    constants    name[24] | i64 value
    code         each at a multiple of 16 from the start of the file
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from .parameters import Parameter

MAGIC = b"MMKGCUDA"
VERSION = 1
_HEADER = struct.Struct("<8sIIIIIIQ")
_ENTRY = struct.Struct("<64s64sIIQQIIIIIIII")  # 184 bytes
_PARAMETER = struct.Struct("<12I")
_CONSTANT = struct.Struct("<24sq")
_ALIGNMENT = 16


class CodeKind(IntEnum):
    """What the code of an entry is."""

    CUBIN = 0
    PTX = 1  # with the NUL that the driver wants


@dataclass(frozen=True)
class CompiledKernel:
    """One entry of the image.

    Attributes:
        name: of the KernelSpec.
        symbol: the function in the code.
        target: compute capability, 90 for 9.0.
        shared_bytes: of a block.
        threads: of a block.
        constants: those of the source that are whole numbers: a launcher that divides work by them asks for them here.
    """

    name: str
    symbol: str
    target: int
    kind: CodeKind
    code: bytes
    shared_bytes: int
    threads: int
    parameters: tuple[Parameter, ...]
    constants: tuple[tuple[str, int], ...] = ()


def image(kernels: Sequence[CompiledKernel]) -> bytes:
    """The file; the same for the same kernels, in whatever order they come."""
    kernels = sorted(kernels, key=lambda kernel: (kernel.name, kernel.kind, kernel.target))
    first = _HEADER.size + sum(
        _ENTRY.size + _PARAMETER.size * len(kernel.parameters) + _CONSTANT.size * len(kernel.constants)
        for kernel in kernels
    )
    entries, parameters, constants, code = b"", b"", b"", b""
    for kernel in kernels:
        code += bytes(-(first + len(code)) % _ALIGNMENT)
        places = (len(parameters) // _PARAMETER.size, len(constants) // _CONSTANT.size)
        entries += _entry(kernel, first + len(code), *places)
        parameters += b"".join(_record(parameter) for parameter in kernel.parameters)
        constants += b"".join(_CONSTANT.pack(name.encode(), value) for name, value in kernel.constants)
        code += kernel.code
    tables = entries + parameters + constants
    counts = (len(kernels), len(parameters) // _PARAMETER.size, len(constants) // _CONSTANT.size)
    return _HEADER.pack(MAGIC, VERSION, *counts, zlib.crc32(tables), 0, first + len(code)) + tables + code


def _entry(kernel: CompiledKernel, offset: int, first_parameter: int, first_constant: int) -> bytes:
    return _ENTRY.pack(
        kernel.name.encode(),
        kernel.symbol.encode(),
        kernel.target,
        kernel.kind,
        offset,
        len(kernel.code),
        kernel.shared_bytes,
        kernel.threads,
        first_parameter,
        len(kernel.parameters),
        first_constant,
        len(kernel.constants),
        zlib.crc32(kernel.code),
        0,
    )


def _record(parameter: Parameter) -> bytes:
    box = (*parameter.box, *(0,) * (5 - len(parameter.box)))
    return _PARAMETER.pack(
        parameter.kind,
        parameter.argument,
        parameter.bytes,
        parameter.axis,
        parameter.map_type,
        parameter.swizzle,
        len(parameter.box),
        *box,
    )
