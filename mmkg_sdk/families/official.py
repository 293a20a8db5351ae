"""What reading an official checkpoint is in every family: tensor-only loading, finite values, names and shapes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ExportError

if TYPE_CHECKING:
    from torch import Tensor


def load_content(path: Path) -> Any:
    """What torch saved in a file. Loading is tensor-only: a file that carries code is refused, never run.

    Raises:
        ExportError: the file is missing, damaged, or holds Python objects.
    """
    import torch

    if not path.is_file():
        raise ExportError(f"{path}: no such file. Pass the checkpoint file that the authors' training wrote.")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as err:  # torch raises a different type for each way a file can be broken
        raise ExportError(
            f"{path}: not a tensor-only torch checkpoint ({f'{type(err).__name__}: {err}'.splitlines()[0]}). "
            "The file is damaged, or it holds Python objects, which are never loaded."
        ) from err


class ForeignObject:
    """Stands for every class that a checkpoint names and torch does not know. It takes anything and does nothing."""

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, _: object) -> None: ...


def load_lightning(path: Path) -> Any:
    """`load_content` for files that hold objects of other packages beside the weights, as Lightning's do.

    None of these packages is imported and nothing that the file names is called: inert objects take their place.

    Raises:
        ExportError: the file is missing or damaged.
    """
    from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

    try:
        names = get_unsafe_globals_in_checkpoint(path)
    except Exception:  # no such file, damaged, or older than torch's zip format: load_content says which
        names = []
    with safe_globals([(ForeignObject, name) for name in names]):
        return load_content(path)


def finite_tensors(content: Mapping[Any, Any], path: Path) -> dict[str, Tensor]:
    """The content as float32 tensors by name.

    Raises:
        ExportError: something is no tensor, or holds NaN or infinity.
    """
    import torch

    state: dict[str, Tensor] = {}
    for name, tensor in content.items():
        if not isinstance(tensor, torch.Tensor):
            raise ExportError(f"{path}: {name} is {type(tensor).__name__}, expected a tensor.")
        if not torch.isfinite(tensor).all():
            raise ExportError(f"{path}: {name} holds NaN or infinite values; this training has diverged.")
        state[str(name)] = tensor.float().contiguous()
    return state


def tensor_shape(state: Mapping[str, Tensor], name: str, rank: int, family: str) -> tuple[int, ...]:
    """The shape of a tensor that tells a size.

    Raises:
        ExportError: it is missing or has another number of axes, so this is no checkpoint of the family.
    """
    if name not in state or state[name].ndim != rank:
        found = f"has shape {list(state[name].shape)}" if name in state else "is missing"
        raise ExportError(f"not a checkpoint of {family}: tensor {name} {found}; expected {rank} axes.")
    return tuple(state[name].shape)


def compare_state(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Compare names and shapes with those of a model; names the first differences.

    Raises:
        ExportError: if a tensor is missing, unknown or has another shape.
    """
    wanted = {name: list(tensor.shape) for name, tensor in expected.items()}
    problems = [f"{name} is missing (expected {shape})" for name, shape in wanted.items() if name not in state]
    problems += [f"{name} is unknown" for name in state if name not in wanted]
    problems += [
        f"{name} has shape {list(state[name].shape)}, expected {shape}"
        for name, shape in wanted.items()
        if name in state and list(state[name].shape) != shape
    ]
    if problems:
        more = f" (and {len(problems) - 5} more)" if len(problems) > 5 else ""
        raise ExportError(f"the checkpoint does not fit the model: {'; '.join(problems[:5])}{more}.")


def renamed_settings(options: Mapping[str, Any], ours_by_theirs: Mapping[str, str]) -> dict[str, Any]:
    """Those of the authors' options that are settings of ours, under our names."""
    return {ours: options[theirs] for theirs, ours in ours_by_theirs.items() if theirs in options}


def stored_array(fields: Mapping[str, NDArray[Any]], name: str, kinds: str, path: Path) -> NDArray[Any]:
    """One array with two axes of an .npz of the authors' tensors.

    Args:
        kinds: allowed numpy kinds: "iu" for integers, "b" for booleans.

    Raises:
        ExportError: it is missing, or has another kind or number of axes.
    """
    if name not in fields:
        raise ExportError(f"{path} has no array {name!r}; it has {', '.join(sorted(fields)) or 'none'}.")
    array = fields[name]
    if array.ndim != 2 or array.dtype.kind not in kinds:
        raise ExportError(
            f"{path}: {name} is {array.dtype} {list(array.shape)}; expected two axes of "
            f"{'booleans' if kinds == 'b' else 'integers'}."
        )
    return array


def stored_rows(
    fields: Mapping[str, NDArray[Any]], name: str, kinds: str, shape: tuple[int, ...], path: Path
) -> NDArray[Any]:
    """One array [n, *shape] of an .npz of the authors' tensors.

    Args:
        kinds: allowed numpy kinds: "iu" for integers, "f" for floats, which must be finite.

    Raises:
        ExportError: it is missing, or does not fit.
    """
    if name not in fields:
        raise ExportError(f"{path} has no array {name!r}; it has {', '.join(sorted(fields)) or 'none'}.")
    array = fields[name]
    if array.dtype.kind not in kinds or array.shape[1:] != shape or array.ndim != 1 + len(shape):
        kind = "integers" if kinds == "iu" else "floats"
        raise ExportError(
            f"{path}: {name} is {array.dtype} {list(array.shape)}; expected {kind} of shape {['n', *shape]}."
        )
    if kinds == "f" and not np.isfinite(array).all():
        raise ExportError(f"{path}: {name} holds NaN or infinity. Make the file again.")
    return array
