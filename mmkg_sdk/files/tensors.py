"""safetensors files that are larger than memory should be: written piece by piece, read as memory maps.

Format: header length (8 bytes, little endian), JSON header with dtype, shape and byte range of each tensor, data.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .atomic import shortage
from .strict_json import strict_json

# Little-endian on the disk, whatever the machine.
_DTYPES = {
    "BOOL": "?",
    "U8": "u1",
    "I8": "i1",
    "I16": "<i2",
    "I32": "<i4",
    "I64": "<i8",
    "F16": "<f2",
    "F32": "<f4",
    "F64": "<f8",
}
_NAMES = {np.dtype(dtype): name for name, dtype in _DTYPES.items()}
# numpy has no bfloat16: read are the bits, which are the upper half of a float32's. Nothing else here has this dtype.
BFLOAT16_BITS = np.dtype("<u2")
# Of the safetensors package.
_HEADER_LIMIT = 100_000_000
_MOST_AXES = 32


def scratch_array(shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    """An array of zeros in a file without a name, which the system may write out; it goes with the array.

    Raises:
        DataError: the folder for temporary files has no room for it.
    """
    if 0 in shape:
        return np.zeros(shape, dtype)
    size = math.prod(shape) * np.dtype(dtype).itemsize
    try:
        with tempfile.TemporaryFile() as file:
            if hasattr(os, "posix_fallocate"):  # a hole that the disk cannot fill later would end the process (SIGBUS)
                os.posix_fallocate(file.fileno(), 0, size)
            return np.memmap(file, dtype, "w+", shape=shape)
    except OSError as err:
        place = Path(tempfile.gettempdir())
        raise DataError(
            f"{place} does not take a temporary file ({shortage(err, place, f'{size:,}')}). Make room, or set TMPDIR "
            "to another folder."
        ) from err


def write_tensors(file: BinaryIO, arrays: Mapping[str, NDArray[Any] | Sequence[NDArray[Any]]]) -> None:
    """Write arrays without a copy of those that are contiguous; dtypes are those of `_DTYPES`.

    Args:
        arrays: by name; several are one, whose rows lie one behind the other.
    """
    parts = {name: [given] if isinstance(given, np.ndarray) else given for name, given in arrays.items()}
    ordered = sorted(parts.items(), key=lambda item: (-item[1][0].dtype.itemsize, item[0]))  # keeps each one aligned
    header: dict[str, Any] = {}
    end = 0
    for name, pieces in ordered:
        begin, end = end, end + sum(piece.nbytes for piece in pieces)
        rows = [sum(len(piece) for piece in pieces)] if pieces[0].ndim else []
        header[name] = {
            "dtype": _NAMES[pieces[0].dtype.newbyteorder("<")],
            "shape": [*rows, *pieces[0].shape[1:]],
            "data_offsets": [begin, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little") + text)
    for _, pieces in ordered:
        for array in pieces:
            # As bytes by way of one axis: a memory view of none, or of several with a 0 among them, has no byte form.
            flat = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(-1)
            file.write(flat.view(np.uint8).data)


@dataclass(frozen=True)
class TensorPlace:
    """Where a tensor lies in a file: its shape, its first byte and how many there are."""

    shape: tuple[int, ...]
    start: int
    size: int


def place_of(data: memoryview, name: str) -> TensorPlace:
    """Where a tensor lies in a file's content."""
    start, header = _header(data)
    begin, end = header[name]["data_offsets"]
    return TensorPlace(tuple(header[name]["shape"]), start + begin, end - begin)


def map_file(file: BinaryIO) -> memoryview:
    """The content of an open file as a read-only memory map, which stays when the file is closed or replaced."""
    size = os.fstat(file.fileno()).st_size
    return memoryview(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) if size else b"")


def map_tensors(path: Path, prefix: str = "") -> dict[str, NDArray[Any]]:
    """`tensors_in` a file, as read-only memory maps.

    Raises:
        SafetensorError: the file is not of this format.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return tensors_in(map_file(file), prefix)


def tensors_in(data: memoryview, prefix: str = "") -> dict[str, NDArray[Any]]:
    """The tensors of a file's content whose names begin so, as views of it, sorted by name.

    Those in bfloat16 are uint16 (BFLOAT16_BITS).

    Raises:
        SafetensorError: the content is not of this format, or a dtype is none that numpy has.
    """
    from safetensors import SafetensorError

    try:
        start, header = _header(data)
        return {name: _view(data, start, header[name]) for name in sorted(header) if name.startswith(prefix)}
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as err:
        raise SafetensorError(f"{type(err).__name__}: {str(err)[:200]}") from err


def _header(data: memoryview) -> tuple[int, dict[str, Any]]:
    """Where the numbers begin, and the entry of each tensor; they lie one behind the other and fill the file."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > min(len(data) - 8, _HEADER_LIMIT):
        raise ValueError(f"a header of {length:,} bytes in a file of {len(data):,}")
    header = strict_json(bytes(data[8 : 8 + length]).decode())
    if not isinstance(header, dict):
        raise ValueError("the header is no object")
    header.pop("__metadata__", None)
    end = 0
    for begin, stop, name in sorted((*header[name]["data_offsets"], name) for name in header):
        shape = header[name]["shape"]
        if len(shape) > _MOST_AXES or not all(type(size) is int and 0 <= size < 1 << 63 for size in (begin, *shape)):
            raise ValueError(f"{name!r:.80} has shape {shape!r:.80} at {begin!r:.80}")
        if begin != end or stop - begin != math.prod(shape) * _dtype(header[name]["dtype"]).itemsize:
            raise ValueError(f"the bytes of {name!r:.80} are not those of its shape, or not behind those before it")
        end = stop
    if 8 + length + end != len(data):
        raise ValueError(f"{len(data):,} bytes, of which the header describes {8 + length + end:,}")
    return 8 + length, header


def _dtype(name: str) -> np.dtype[Any]:
    return BFLOAT16_BITS if name == "BF16" else np.dtype(_DTYPES[name])


def _view(data: memoryview, start: int, entry: Mapping[str, Any]) -> NDArray[Any]:
    begin, end = entry["data_offsets"]
    return np.frombuffer(data[start + begin : start + end], _dtype(entry["dtype"])).reshape(entry["shape"])
