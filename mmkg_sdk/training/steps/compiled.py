"""The losses of a training step by torch.compile: fused loops on a CPU, fused kernels on a GPU."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

from ...errors import BackendError

P = ParamSpec("P")
T = TypeVar("T")

BACKEND = "inductor"  # of torch.compile


def check_compiler(wanted: bool, device: str | torch.device) -> None:
    """Whether torch.compile works for the device, if it is wanted: something small is compiled and run.

    It needs a C++ compiler on a CPU; on a GPU Triton and a C compiler.

    Raises:
        BackendError: it does not.
    """
    if not wanted:
        return
    try:
        found = torch.compile(_twice, fullgraph=True, backend=BACKEND)(torch.ones(2, device=device))
    except Exception as err:  # each part of torch.compile raises its own types
        needed = "Triton and a C compiler" if torch.device(device).type == "cuda" else "a C++ compiler (g++)"
        raise BackendError(
            f"setting compile is true, and torch.compile does not work for {device} here: {_first_line(err)}. "
            f"Install {needed}, or leave compile out."
        ) from err
    assert found.tolist() == [2.0, 2.0], "a compiled sum is wrong"


def compiled(function: Callable[P, T]) -> Callable[P, T]:
    """A function as one compiled graph, on its first call.

    The graph is of the first batch's sizes. What has another size, as the last batch, or texts of other lengths, is
    compiled once more, for any size; full batches keep the first graph. A size of 1 has a graph of its own. The state
    dict of a module whose forward is compiled has the names that it had.

    Raises:
        BackendError: on a call, if torch.compile cannot take the function as a whole. Nothing runs uncompiled.
    """
    whole = torch.compile(function, fullgraph=True, backend=BACKEND)

    @wraps(function)
    def call(*arguments: P.args, **options: P.kwargs) -> T:
        try:
            return whole(*arguments, **options)
        except torch._dynamo.exc.TorchDynamoException as err:
            raise BackendError(
                f"torch.compile could not compile this training: {_first_line(err)}. Leave the setting compile out."
            ) from err

    return call


def _twice(values: Tensor) -> Tensor:
    return values + values


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]:.300}"
