"""The Tucker product's kernels in Triton's interpreter against the formula in float64 and the library for the CPU.

The interpreter multiplies float32 in place of the matrix units: what is tested is which numbers are multiplied and
added, and in what order, not how the hardware rounds. Nothing here has run on a GPU.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mmkg_sdk.kernels import TuckerCore, library
from mmkg_sdk.kernels.cuda.triton.tucker import KERNELS, MIN_SPLITS, tucker_partials, tucker_sum

Array = NDArray[Any]
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
# By precision and rows of a tile.
TILES = {
    (spec.name.split("_")[2], spec.constants["ROWS"]): spec.constants for spec in KERNELS if "ROWS" in spec.constants
}
ROUNDING = 2.0**-24


class Core:
    """Random weights in a precision."""

    def __init__(self, width: int, precision: str) -> None:
        generator = torch.Generator().manual_seed(width)
        self.width, self.precision = width, precision
        self.core = torch.randn(width, width, width, generator=generator).to(DTYPES[precision])
        self.relation_weight = torch.randn(width, width, generator=generator).to(DTYPES[precision])
        self.shift = torch.randn(width, generator=generator)

    def apply(self, context: Array, relation: Array, rows: int) -> Array:
        """By the kernels, launched as cuda/launch/tucker.cpp launches them."""
        tile = TILES[self.precision, rows]
        batch, width = context.shape
        padded = -(-width // 64) * 64
        chunks = padded // tile["DEPTH"]
        rows_per_split = -(-width // max(1, -(-MIN_SPLITS // chunks)))
        splits = -(-width // rows_per_split) * chunks
        extra = padded - width
        core = torch.nn.functional.pad(self.core, (0, extra, 0, extra)).contiguous()
        relation_weight = torch.nn.functional.pad(self.relation_weight, (0, extra)).contiguous()
        partials = torch.full((splits, batch, padded), torch.nan)
        out = torch.full((batch, width), torch.nan)
        tucker_partials[-(-batch // rows), padded // tile["COLUMNS"], splits](
            torch.from_numpy(context), torch.from_numpy(relation), core, relation_weight, partials,
            batch, width, chunks, rows_per_split, **tile,
        )  # fmt: skip
        tucker_sum[batch, -(-width // 128)](partials, self.shift, out, batch, width, padded, splits, COLUMNS=128)
        return out.numpy()

    def sums(self, context: Array, relation: Array) -> tuple[Array, Array]:
        """The formula in float64, and the sum of the sizes of its terms."""
        core, weight = self.core.double().numpy(), self.relation_weight.double().numpy()
        shift = self.shift.double().numpy()
        pairs = relation[:, :, None].astype(np.float64) * context[:, None, :]
        exact = np.einsum("bij,ijo->bo", pairs, core, optimize=True) + relation @ weight + shift
        sizes = (
            np.einsum("bij,ijo->bo", abs(pairs), abs(core), optimize=True) + abs(relation) @ abs(weight) + abs(shift)
        )
        return exact, sizes

    def most_roundings(self) -> int:
        """In the longest chain of sums: a product's, its scaling and adding, relation_weight's, the splits', shift."""
        depth = TILES[self.precision, 16]["DEPTH"]
        chunks = -(-self.width // 64) * 64 // depth
        rows_per_split = -(-self.width // max(1, -(-MIN_SPLITS // chunks)))
        return 2 * depth + 4 * rows_per_split + -(-self.width // rows_per_split) * chunks + 1


def vectors(batch: int, width: int) -> tuple[Array, Array]:
    rng = np.random.default_rng(batch)
    return tuple(rng.standard_normal((2, batch, width), dtype=np.float32))  # type: ignore[return-value]


def in_two_bfloat16(context: Array) -> Array:
    """What the kernel for bfloat16 multiplies, in float64: by torch's rounding, which breaks ties to even."""
    exact = torch.from_numpy(context)
    high = exact.bfloat16().float()
    return (high.double() + (exact - high).bfloat16().double()).numpy()


@pytest.mark.parametrize(
    ("width", "precision", "rows"),
    [
        *((1, *tile) for tile in TILES),
        *((65, *tile) for tile in TILES),
        (31, "bf16", 16),
        (63, "fp16", 16),
        (64, "fp32", 16),
    ],
)
def test_products_are_those_of_the_formula(width: int, precision: str, rows: int) -> None:
    core = Core(width, precision)
    for batch in {1: (1, rows + 1), 65: (rows - 1,)}.get(width, (7,)):
        context, relation = vectors(batch, width)
        found = core.apply(context, relation, rows)
        read = in_two_bfloat16(context) if precision == "bf16" else context
        exact, sizes = core.sums(read, relation)
        assert (abs(found - exact) <= core.most_roundings() * ROUNDING * sizes).all()
        # What two bfloat16 numbers leave out of the context.
        unrounded, _ = core.sums(context, relation)
        assert (abs(exact - unrounded) <= 2.0**-16 * sizes).all()


@pytest.mark.parametrize("precision", ["bf16", "fp16", "fp32"])
def test_the_library_for_the_cpu_gives_nearly_the_same(precision: str) -> None:
    if isinstance(library(), str):
        pytest.skip(str(library()))
    core = Core(48, precision)
    context, relation = vectors(17, 48)
    stored = core.core.view(torch.uint16) if precision == "bf16" else core.core
    weight = core.relation_weight.view(torch.uint16) if precision == "bf16" else core.relation_weight
    opened = TuckerCore(stored.numpy(), weight.numpy(), core.shift.numpy(), threads=1)
    by_cpu, found = opened.apply(context, relation), core.apply(context, relation, 16)
    root_mean_square = np.sqrt((by_cpu**2).mean())
    # Measured: 7.6e-6 for bfloat16, 1e-6 for the others; a context of one bfloat16 number would give 2e-3.
    assert abs(found - by_cpu).max() <= (1.5e-5 if precision == "bf16" else 2e-6) * root_mean_square


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_a_row_depends_on_no_other(precision: str) -> None:
    """At one place of a tile: numpy's own product, in place of the matrix units, depends on the place."""
    core = Core(40, precision)
    context, relation = vectors(19, 40)
    expected = core.apply(context, relation, 16)
    np.testing.assert_array_equal(core.apply(context, relation, 16), expected)
    np.testing.assert_array_equal(core.apply(context[:5].copy(), relation[:5].copy(), 16), expected[:5])
    context[3], relation[11] = np.nan, np.inf
    found = core.apply(context, relation, 16)
    others = np.isin(np.arange(19), (3, 11), invert=True)
    np.testing.assert_array_equal(found[others], expected[others])
    assert not np.isfinite(found[~others]).any()
