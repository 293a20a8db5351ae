"""The hand-written gradient of the negatives' distances, against autograd and finite differences."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mmkg_sdk.families.adamf_mat.negatives import negative_distances


def plain(table: Tensor, tails: Tensor, heads: Tensor, negatives: Tensor, replaces_tail: Tensor) -> Tensor:
    anchors = torch.where(replaces_tail[..., None], tails[:, None], heads[:, None])
    parts = torch.stack((F.embedding(negatives, table) - anchors).chunk(2, dim=-1))
    return torch.linalg.vector_norm(parts, dim=0).sum(dim=-1)


def arguments() -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    torch.manual_seed(4)
    table, tails, heads = (torch.randn(n, 6, dtype=torch.double, requires_grad=True) for n in (7, 3, 3))
    return table, tails, heads, torch.randint(7, (3, 5)), torch.rand(3, 5) < 0.5


def test_distances_and_gradients_equal_those_of_autograd() -> None:
    given = arguments()
    found, expected = negative_distances(*given), plain(*given)
    torch.testing.assert_close(found, expected)
    weights = torch.randn_like(found)
    for own, other in zip(
        torch.autograd.grad((found * weights).sum(), given[:3]),
        torch.autograd.grad((expected * weights).sum(), given[:3]),
        strict=True,
    ):
        torch.testing.assert_close(own, other)
    assert torch.autograd.gradcheck(negative_distances, given)


def test_a_negative_that_equals_its_anchor_has_distance_and_gradient_zero() -> None:
    table = torch.tensor([[1.0, 2.0], [0.0, 0.0]], requires_grad=True)
    anchor = torch.tensor([[1.0, 2.0]], requires_grad=True)
    found = negative_distances(table, anchor, anchor, torch.tensor([[0, 0]]), torch.tensor([[True, False]]))
    assert found.tolist() == [[0.0, 0.0]]
    found.sum().backward()  # type: ignore[no-untyped-call]
    assert table.grad is not None
    assert not table.grad.any()
    assert not anchor.grad.any()  # type: ignore[union-attr]
