"""The Tucker product in blocks: the numbers and gradients of the plain form, in less memory."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from mmkg_sdk.families.mygo.config import MyGOConfig
from mmkg_sdk.families.mygo.model import TuckerDecoder
from mmkg_sdk.families.mygo.tucker_product import block_width, tucker_product


class Largest(TorchDispatchMode):
    """How many numbers the largest tensor holds that an operation makes, views of others included."""

    numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        made = found if isinstance(found, (tuple, list)) else [found]
        self.numbers = max([self.numbers, *(tensor.numel() for tensor in made if isinstance(tensor, Tensor))])
        return found


def operands(batch: int, width: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(batch)
    shapes = ((batch, width), (batch, width), (width, width, width))
    return [torch.randn(s, generator=generator, dtype=torch.float64, requires_grad=True) for s in shapes]


@pytest.mark.parametrize("block", [1, 2, 3, 7, 8])
@pytest.mark.parametrize("batch", [1, 5])
def test_blocks_give_the_sum_and_the_gradients_of_the_formula(batch: int, block: int) -> None:
    given = operands(batch, 7)
    context, relation, core = given
    weights = torch.randn(batch, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = torch.einsum("bi,bk,kij->bj", context, relation, core)
    found = tucker_product(context, relation, core, 0.0, block=block)
    torch.testing.assert_close(found, expected)
    gradients = (torch.autograd.grad((made * weights).sum(), given) for made in (expected, found))
    for left, right in zip(*gradients, strict=True):
        torch.testing.assert_close(left, right)


@pytest.mark.parametrize("block", [2, 3, 5])
def test_gradients_are_those_of_the_dropout_that_was_drawn(block: int) -> None:
    def product(*given: Tensor) -> Tensor:
        torch.manual_seed(3)  # the same numbers for each of the differences that gradcheck takes
        return tucker_product(*given, 0.4, block=block)

    given = operands(3, 5)
    assert torch.autograd.gradcheck(product, given)
    assert not torch.equal(product(*given), tucker_product(*given, 0.0, block=block))


def test_dropout_in_blocks_keeps_the_share_and_the_mean() -> None:
    width, rate = 64, 0.4
    context, relation, core = torch.ones(1, width), torch.eye(width)[:1], torch.ones(width, width, width)
    torch.manual_seed(0)
    found = torch.cat([tucker_product(context, relation, core, rate, block=8) for _ in range(50)])
    kept = found * (1 - rate)  # whole numbers: how many of 64 rows were kept, binomial in each column
    torch.testing.assert_close(kept, kept.round())
    assert kept.mean().item() == pytest.approx(64 * 0.6, abs=0.3)
    assert kept.var().item() == pytest.approx(64 * 0.6 * 0.4, rel=0.1)


def test_neither_pass_makes_the_matrices_of_all_queries() -> None:
    batch, width, block = 64, 16, 2
    with Largest() as mode:
        tucker_product(*operands(batch, width), 0.4, block=block).sum().backward()
    assert mode.numbers == width**3 == 2 * batch * block * width  # the core, and its gradient
    with Largest() as mode:
        tucker_product(*operands(batch, width), 0.4, block=width).sum().backward()
    assert mode.numbers == batch * width * width, "the plain form makes them"


def test_the_decoder_bounds_its_blocks_on_a_device_and_has_one_on_the_cpu() -> None:
    assert block_width(2048, 256, "cpu") == 256
    assert block_width(2048, 256, "cuda") == 32
    assert block_width(10**9, 256, "cuda") == 1
    assert block_width(0, 256, "cuda") == 256
    config = MyGOConfig(*[3] * 6, embedding_dim=256)
    with torch.device("meta"):
        decoder = TuckerDecoder(config)
        given = [torch.empty(2048, 256, requires_grad=True) for _ in range(2)]
    with Largest() as mode:
        decoder(*given).sum().backward()
    assert mode.numbers == 256**3
    assert decoder.W.grad is not None
