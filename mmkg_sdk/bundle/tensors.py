"""The tensors of a bundle: exactly those that its family says, with their dtypes and shapes, and finite."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BundleError
from ..files.tensors import tensors_in
from .contents import Stored

# Bytes looked at in one go: checking a memory map must not bring all of it into memory at once.
_CHUNK_BYTES = 16 << 20


def read_tensors(
    path: Path, content: memoryview, specs: Mapping[str, Stored], *, known: bool = False
) -> dict[str, NDArray[Any]]:
    """The tensors of a file, as views of its content.

    Args:
        path: for messages.
        known: the numbers of these very bytes were found finite before.

    Raises:
        BundleError: another set of tensors, dtype or shape, a NaN or an infinity, or a damaged file.
    """
    from safetensors import SafetensorError

    try:
        tensors = tensors_in(content)
    except SafetensorError as err:
        raise BundleError(f"{path} is not a valid safetensors file ({err}). Export the bundle again.") from err
    if set(tensors) != set(specs):
        raise BundleError(f"{path} holds {sorted(tensors)!r:.200}, expected {sorted(specs)}. Export the bundle again.")
    for name, spec in specs.items():
        _check_tensor(path, name, tensors[name], spec)
        if not known:
            _check_finite(path, name, tensors[name])
    return tensors


def _check_tensor(path: Path, name: str, array: NDArray[Any], spec: Stored) -> None:
    fits = array.ndim == len(spec.shape) and all(
        size == wanted if wanted is not None else size > 0 or axis == 0
        for axis, (size, wanted) in enumerate(zip(array.shape, spec.shape, strict=True))
    )
    if array.dtype != spec.dtype or not fits:
        shape = ", ".join("any" if size is None else str(size) for size in spec.shape)
        raise BundleError(
            f"{path}: {name} is {array.dtype} {list(array.shape)}, expected {spec.dtype} [{shape}]. Export again."
        )


def _check_finite(path: Path, name: str, array: NDArray[Any]) -> None:
    if array.dtype.kind == "f" and array.size:
        rows = max(1, _CHUNK_BYTES // max(1, array[:1].nbytes))
        for start in range(0, len(array), rows):
            finite = np.isfinite(array[start : start + rows])
            if not finite.all():
                row = start + np.argwhere(~finite)[0][0]
                raise BundleError(f"{path}: {name} holds NaN or infinity in row {row}. Export from a sound run.")
