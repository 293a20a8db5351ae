"""Matrices of float32 in files: codebooks and features, saved by torch or as safetensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, missing_package
from ..files.text import read_bytes


def read_safetensors(path: Path) -> dict[str, NDArray[Any]]:
    """All tensors of a safetensors file."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return {name: np.asarray(tensor) for name, tensor in load(read_bytes(path)).items()}
    except (SafetensorError, KeyError, ValueError, TypeError) as err:
        raise DataError(f"{path} is not a valid safetensors file: {err}.") from err


def read_torch_matrix(path: Path, what: str) -> NDArray[np.float32]:
    """A matrix float32 [rows, width] from a tensor or parameter saved by torch; no code in it runs.

    Args:
        what: what the matrix is, for messages.
    """
    try:
        import torch
    except ImportError as err:
        raise missing_package("torch", "train", f"reading {path.name}") from err
    try:
        tensor = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as err:  # torch raises many types for a damaged or unsafe file
        first = (str(err).splitlines() or [type(err).__name__])[0]
        raise DataError(f"{path} cannot be loaded as a plain tensor: {first[:200]}") from err
    if not isinstance(tensor, torch.Tensor):
        raise DataError(f"{path} holds a {type(tensor).__name__}; expected one tensor [rows, width].")
    if not tensor.is_floating_point():
        raise DataError(f"{path} holds {tensor.dtype}; expected floating point.")
    return check_matrix(tensor.detach().to(torch.float32).numpy(), path, what)


def check_matrix(values: NDArray[Any], path: Path, what: str) -> NDArray[np.float32]:
    """The values, if they are float32 [rows, width] and finite.

    Raises:
        DataError: they are not.
    """
    if values.ndim != 2 or 0 in values.shape or values.dtype != np.float32:
        raise DataError(f"{path}: {what} is {values.dtype} {list(values.shape)}; expected float32 [rows, width].")
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
        raise DataError(f"{path}: the {what} holds values that are not finite, the first in row {row}.")
    return values
