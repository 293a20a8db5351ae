"""safetensors files that are larger than memory should be: written piece by piece, read as memory maps.

Format: header length (8 bytes, little endian), JSON header with dtype, shape and byte range of each tensor, data.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .atomic import shortage

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


def write_tensors(file: BinaryIO, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays without a copy of those that are contiguous; dtypes are those of `_DTYPES`."""
    ordered = sorted(arrays.items(), key=lambda item: (-item[1].dtype.itemsize, item[0]))  # keeps each one aligned
    header: dict[str, Any] = {}
    end = 0
    for name, array in ordered:
        begin, end = end, end + array.nbytes
        header[name] = {
            "dtype": _NAMES[array.dtype.newbyteorder("<")],
            "shape": list(array.shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little") + text)
    for _, array in ordered:
        # As bytes by way of one axis: a memory view of none, or of several with a 0 among them, has no byte form.
        flat = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(-1)
        file.write(flat.view(np.uint8).data)


def map_tensors(path: Path, prefix: str = "") -> dict[str, NDArray[Any]]:
    """The tensors of a file whose names begin so, as read-only memory maps, sorted by name.

    Those in bfloat16 are uint16 (BFLOAT16_BITS).

    Raises:
        SafetensorError: the file is not of this format.
        KeyError: a dtype that numpy does not have.
        OSError: the file cannot be read.
    """
    from safetensors import safe_open

    with safe_open(path, framework="np"):  # checks the header: offsets, sizes, nothing between or behind
        pass
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    return {name: _mapped(path, 8 + length, header[name]) for name in sorted(header) if name.startswith(prefix)}


def _mapped(path: Path, start: int, entry: Mapping[str, Any]) -> NDArray[Any]:
    kind, shape = entry["dtype"], tuple(entry["shape"])
    dtype = BFLOAT16_BITS if kind == "BF16" else np.dtype(_DTYPES[kind])
    if 0 in shape:
        return np.zeros(shape, dtype)
    return np.memmap(path, dtype, "r", offset=start + entry["data_offsets"][0], shape=shape)
