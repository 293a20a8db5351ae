"""A device that has no values to give: whatever a GPU would be waited for is an error on torch's "meta" device.

A tensor there has a shape and nothing else, so reading a number, a truth value or a shape that depends on values fails
by itself. The mode below refuses what it would let pass: copies from the host, which stop a GPU that copies from
memory that is not page-locked. Waits inside CUDA's own kernels cannot be seen so.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

META = torch.device("meta")


class NoCopies(TorchDispatchMode):
    """Refuses operations between the host and the device; numbers of the host (0 axes) may take part."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        devices = {tensor.device for tensor in _large((args, kwargs, found))}
        if len(devices) > 1:
            raise AssertionError(f"{func} is between the host and the device")
        return found


def _large(values: object) -> Iterator[Tensor]:
    return (leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor) and (leaf.ndim or leaf.device == META))
