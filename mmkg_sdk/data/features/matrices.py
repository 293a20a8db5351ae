"""Matrices of numbers in files: codebooks and features, as .pth, .pt, .npy, .h5, .hdf5 or .safetensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError, missing_package
from ...files.tensors import map_tensors
from ...files.torch_files import load_plain, oddity

Arrays = dict[str, NDArray[Any]]


def read_arrays(path: Path) -> Arrays:
    """The arrays of a file by name; one that has no name is called "". No code in the file runs.

    Raises:
        DataError: the file is damaged, of another kind, or holds anything but arrays.
        BackendError: a package that reads it is missing.
    """
    return _READERS[path.suffix.lower()](path)


def read_matrix(path: Path, what: str) -> NDArray[np.float32]:
    """The only matrix of a file, float32 [rows, width]; a module that was saved as its state holds one, too.

    Args:
        what: what the matrix is, for messages.

    Raises:
        DataError: there is not exactly one, or it is not finite.
    """
    return check_matrix(only_array(read_arrays(path), path), path, what)


def only_array(arrays: Mapping[str, NDArray[Any]], path: Path) -> NDArray[Any]:
    """The array of a file that holds one.

    Raises:
        DataError: it holds none or several.
    """
    if len(arrays) != 1:
        names = ", ".join(list(arrays)[:5]) or "none"
        raise DataError(f"{path} holds {len(arrays)} arrays ({names}); expected one [rows, width].")
    return next(iter(arrays.values()))


def check_matrix(values: NDArray[Any], path: Path, what: str) -> NDArray[np.float32]:
    """The values as float32, if they are floating point [rows, width] and finite.

    Raises:
        DataError: they are not.
    """
    if not np.issubdtype(values.dtype, np.floating):
        raise DataError(f"{path}: {what} is {values.dtype}; expected floating point.")
    if values.ndim != 2 or 0 in values.shape:
        several = " Of several vectors each, save the mean." if values.ndim == 3 else ""
        raise DataError(
            f"{path}: {what} is {values.dtype} {list(values.shape)}; expected float32 [rows, width].{several}"
        )
    with np.errstate(over="ignore"):  # what does not fit into float32 is found below
        found = values.astype(np.float32)
    if not np.isfinite(found).all():
        row = int(np.flatnonzero(~np.isfinite(found).all(axis=1))[0])
        raise DataError(
            f"{path}: the {what} holds values that are not finite, the first in row {row}. A row of zeros stands for "
            "what is missing."
        )
    return found


def _read_torch(path: Path) -> Arrays:
    content = load_plain(
        path, "a plain tensor", "Save one tensor [rows, width], or the numpy array with numpy.save, as .npy."
    )
    import torch

    tensors = {"": content} if isinstance(content, torch.Tensor) else content
    if not isinstance(tensors, dict) or not all(isinstance(one, torch.Tensor) for one in tensors.values()):
        raise DataError(f"{path} holds a {type(content).__name__}; expected one tensor [rows, width].")
    for name, tensor in tensors.items():
        if odd := oddity(tensor):
            raise DataError(f"{path}: tensor {str(name)!r:.80} {odd}; expected an ordinary one. Save it in float32.")
    # numpy has no bfloat16.
    return {
        str(name): (one.float() if one.is_floating_point() else one).detach().numpy() for name, one in tensors.items()
    }


def _read_numpy(path: Path) -> Arrays:
    try:
        return {"": np.load(path, allow_pickle=False)}
    except (OSError, ValueError, EOFError) as err:
        raise DataError(f"{path} is not a .npy file of numbers: {err}.") from err


def _read_hdf5(path: Path) -> Arrays:
    try:
        import h5py
    except ImportError as err:
        raise missing_package("h5py", "train", f"reading {path.name}") from err
    arrays: Arrays = {}

    def keep(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            arrays[name] = item[()]

    try:
        with h5py.File(path, "r") as file:
            file.visititems(keep)
    except (OSError, ValueError, TypeError, RuntimeError) as err:
        raise DataError(f"{path} is not a whole HDF5 file: {err}. Fetch or write it again.") from err
    return arrays


def read_safetensors(path: Path) -> Arrays:
    """The tensors of a safetensors file by name."""
    from safetensors import SafetensorError

    from ...backends.compiled import as_float32

    try:
        return {name: as_float32(tensor) for name, tensor in map_tensors(path).items()}
    except (SafetensorError, OSError, KeyError, ValueError, TypeError) as err:
        raise DataError(f"{path} is not a valid safetensors file: {err}.") from err


_READERS: dict[str, Callable[[Path], Arrays]] = {
    ".pth": _read_torch,
    ".pt": _read_torch,
    ".npy": _read_numpy,
    ".h5": _read_hdf5,
    ".hdf5": _read_hdf5,
    ".safetensors": read_safetensors,
}
SUFFIXES = tuple(_READERS)
