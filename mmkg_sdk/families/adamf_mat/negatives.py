"""Scores of negatives in training: one gather, one rotation per positive, and a gradient written by hand.

Rotation keeps moduli, so |h' r - t| = |h' - t conj(r)|: a negative is compared with an anchor, which is h r where it
replaces the tail and t conj(r) where it replaces the head. Through autograd alone every intermediate result of
[P, negatives, 2d] would be kept and walked through again; here there is one.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def negative_distances(
    table: Tensor, tail_anchors: Tensor, head_anchors: Tensor, negatives: Tensor, replaces_tail: Tensor
) -> Tensor:
    """[P, n]: sum over the d coordinates of |negative - anchor|.

    Args:
        table: [N, 2d], the entities.
        tail_anchors: [P, 2d], where the tail should be; head_anchors: [P, 2d], where the head should be.
        negatives: int64 [P, n], rows of the table; replaces_tail: bool [P, n], which anchor each is compared with.
    """
    found: Tensor = _NegativeDistances.apply(table, tail_anchors, head_anchors, negatives, replaces_tail)  # type: ignore[no-untyped-call]
    return found


class _NegativeDistances(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, tails: Tensor, heads: Tensor, negatives: Tensor, chosen: Tensor) -> Tensor:
        difference = F.embedding(negatives, table) - torch.where(chosen[..., None], tails[:, None], heads[:, None])
        real, imaginary = difference.chunk(2, dim=-1)
        moduli = (real * real).addcmul_(imaginary, imaginary).sqrt_()
        ctx.save_for_backward(difference, moduli, negatives, chosen)
        ctx.num_entities = len(table)
        return moduli.sum(dim=-1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        difference, moduli, negatives, chosen = ctx.saved_tensors
        # A modulus of 0 has no direction; 0 is its subgradient, as in torch.linalg.vector_norm.
        scale = torch.where(moduli > 0, gradients[0][..., None] / moduli, 0)
        moved = difference * torch.cat([scale, scale], dim=-1)
        table = moved.new_zeros(ctx.num_entities, moved.shape[-1])
        table.index_add_(0, negatives.flatten(), moved.flatten(0, 1))
        return table, -(moved * chosen[..., None]).sum(dim=1), -(moved * ~chosen[..., None]).sum(dim=1), None, None
