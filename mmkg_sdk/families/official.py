"""What reading an official checkpoint is in every family: finite values, names, shapes and kinds of numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ExportError
from ..files.torch_files import oddity

if TYPE_CHECKING:
    from torch import Tensor


def finite_tensors(content: Mapping[str, Any], path: Path) -> dict[str, Tensor]:
    """The content as tensors by name: weights in float32, whole numbers as they are.

    Raises:
        ExportError: something is no ordinary tensor, claims more values than the file holds, or holds NaN or infinity.
    """
    import torch

    state: dict[str, Tensor] = {}
    for name, tensor in content.items():
        if not isinstance(tensor, torch.Tensor):
            raise ExportError(f"{path}: {name} is {type(tensor).__name__}, expected a tensor.")
        if odd := oddity(tensor):  # before anything is computed
            raise ExportError(f"{path}: {name} {odd}; expected an ordinary tensor. Save the model in float32.")
        weights = tensor.detach().float().contiguous() if tensor.is_floating_point() else tensor
        if not torch.isfinite(weights).all():
            raise ExportError(f"{path}: {name} holds NaN or infinite values; this training has diverged.")
        state[name] = weights
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
    """Compare names, shapes and kinds of numbers with those of a model; names the first differences.

    Raises:
        ExportError: if a tensor is missing, unknown, has another shape, or holds whole numbers for weights.
    """
    wanted = {name: list(tensor.shape) for name, tensor in expected.items()}
    problems = [f"{name} is missing (expected {shape})" for name, shape in wanted.items() if name not in state]
    problems += [f"{name} is unknown" for name in state if name not in wanted]
    problems += [
        f"{name} has shape {list(state[name].shape)}, expected {shape}"
        for name, shape in wanted.items()
        if name in state and list(state[name].shape) != shape
    ]
    problems += [
        f"{name} holds {state[name].dtype}, expected {tensor.dtype}"
        for name, tensor in expected.items()
        if name in state and state[name].is_floating_point() != tensor.is_floating_point()
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
