"""MyGO's Tucker product with dropout on its matrices, without keeping a matrix for every query."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

# What the matrices of a block take, in bytes of float32, however large the batch.
_BLOCK_BYTES = 1 << 26


def block_width(batch: int, width: int, device_type: str) -> int:
    """How many rows of each query's matrix `tucker_product` should make at a time.

    On the CPU all of them: there the dropout of a training draws its numbers in one go, and others in parts.
    """
    return width if device_type == "cpu" else min(width, max(1, _BLOCK_BYTES // (4 * max(1, batch) * width)))


def tucker_product(context: Tensor, relation: Tensor, core: Tensor, rate: float, *, block: int) -> Tensor:
    """z[b, j] = sum_i context[b, i] drop(M[b])[i, j] with M[b, i, j] = sum_k relation[b, k] core[k, i, j].

    The matrices M are d * d numbers a query, 537 MB of float32 at d = 256 for a batch of 2,048, and a backward pass
    holds several of that size. Here `block` rows i are made at a time, and made again for their gradients: a third
    more arithmetic, and memory that does not grow with the batch beyond what `block` allows.

    Args:
        context, relation: [B, d]; core: [d, d, d].
        rate: of the dropout on M; 0 outside of training.
        block: rows of M at a time; d or more keeps them, and makes nothing twice.

    Returns:
        [B, d], in the dtype of the products.
    """
    width = core.shape[1]
    if block >= width:
        return _mapped(context, relation, core, rate)
    # split, because its gradient is one concatenation; that of slices would be a sum of cores.
    parts = zip(torch.split(context, block, dim=1), torch.split(core, block, dim=1), strict=True)
    first, *others = (checkpoint(_mapped, some, relation, rows, rate, use_reentrant=False) for some, rows in parts)
    for part in others:
        first = first + part
    return first  # type: ignore[no-any-return]


def _mapped(context: Tensor, relation: Tensor, core: Tensor, rate: float) -> Tensor:
    """What some rows of the matrices add: context [B, r], core [d, r, d]."""
    matrices = (relation @ core.flatten(1)).view(-1, *core.shape[1:])
    matrices = F.dropout(matrices, rate, training=rate > 0)
    return torch.bmm(context.to(matrices.dtype)[:, None], matrices)[:, 0]
