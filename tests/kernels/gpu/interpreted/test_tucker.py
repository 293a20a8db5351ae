"""GpuTuckerCore, its launcher and kernels, against the formula in float64 and the library for the CPU.

The kernels run in Triton's interpreter, behind a stand-in for NVIDIA's driver; it multiplies float32 in place of the
matrix units. So what is tested is which numbers are multiplied and added, not how the hardware rounds. Nothing here has
run on a GPU.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mmkg_sdk.errors import BackendError
from mmkg_sdk.kernels import TuckerCore
from mmkg_sdk.kernels.gpu.library import check, gpu_library
from mmkg_sdk.kernels.gpu.tucker import GpuTuckerCore

from ..fake_driver.driver import OUT_OF_MEMORY
from .conftest import FakeGpu

Array = NDArray[Any]
ROUNDING = 2.0**-24
PRECISIONS = ("bfloat16", "float16", "float32")


class Core:
    """Random weights in a precision, and what they are worth."""

    def __init__(self, width: int, precision: str) -> None:
        rng = np.random.default_rng(width)
        self.width, self.precision = width, precision
        self.core, self.wide = stored(rng.standard_normal((width, width, width), dtype=np.float32), precision)
        self.relation_weight, self.wide_weight = stored(
            rng.standard_normal((width, width), dtype=np.float32), precision
        )
        self.shift = rng.standard_normal(width, dtype=np.float32)

    def open(self) -> GpuTuckerCore:
        return GpuTuckerCore(self.core, self.relation_weight, self.shift)

    def sums(self, context: Array, relation: Array) -> tuple[Array, Array]:
        """The formula in float64, and the sum of the sizes of its terms."""
        pairs = relation[:, :, None].astype(np.float64) * context[:, None, :]
        weight, core = self.wide_weight, self.wide
        exact = np.einsum("bij,ijo->bo", pairs, core, optimize=True) + relation @ weight + self.shift
        sizes = np.einsum("bij,ijo->bo", abs(pairs), abs(core), optimize=True) + abs(relation) @ abs(weight)
        return exact, sizes + abs(self.shift)

    def most_roundings(self) -> int:
        """In the longest chain of sums: a product's, its scaling and adding, relation_weight's, the splits', shift."""
        depth = 64 if self.precision == "bfloat16" else 32
        chunks = -(-self.width // 64) * 64 // depth
        rows_per_split = -(-self.width // -(-32 // chunks))
        return 2 * depth + 4 * rows_per_split + -(-self.width // rows_per_split) * chunks + 1


def stored(numbers: Array, precision: str) -> tuple[Array, Array]:
    """Numbers as a bundle stores them, and these in float64."""
    if precision == "bfloat16":
        bits = (numbers.view(np.uint32) + 0x8000 >> 16).astype(np.uint16)
        return bits, (bits.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    kept = numbers.astype(precision)
    return kept, kept.astype(np.float64)


def in_two_bfloat16(context: Array) -> Array:
    """Each number as the sum of two of bfloat16, in float64, by arithmetic: 8 bits of mantissa, twice."""

    def rounded(x: Array) -> Array:
        mantissa, exponent = np.frexp(x)
        return np.ldexp(np.trunc(mantissa * 256 + np.copysign(0.5, mantissa)) / 256, exponent)

    high = rounded(context.astype(np.float64))
    return high + rounded(context - high)


def vectors(batch: int, width: int) -> tuple[Array, Array]:
    rng = np.random.default_rng(batch)
    return rng.standard_normal((batch, width), np.float32), rng.standard_normal((batch, width), np.float32)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(("width", "batches"), [(1, (1, 15, 17, 63, 65, 257)), (31, (7,)), (64, (16,)), (65, (3,))])
def test_products_are_those_of_the_formula(width: int, batches: tuple[int, ...], precision: str, fake: FakeGpu) -> None:
    core = Core(width, precision)
    opened = core.open()
    for batch in batches:
        context, relation = vectors(batch, width)
        found = opened.apply(context, relation).numpy()
        exact, sizes = core.sums(in_two_bfloat16(context) if precision == "bfloat16" else context, relation)
        assert (abs(found - exact) <= core.most_roundings() * ROUNDING * sizes).all()
        # What two bfloat16 numbers leave out of the context.
        unrounded, _ = core.sums(context, relation)
        assert (abs(exact - unrounded) <= 2.0**-16 * sizes).all()
    tiles = ("few", "more", "many") if precision == "bfloat16" else ("few", "more")
    ran = {name for name in fake.launches.launched if "partials" in name}
    if width == 1:
        short = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}[precision]
        assert ran == {f"tucker_partials_{short}_{name}" for name in tiles}


def test_a_batch_that_the_cache_does_not_hold_goes_in_parts(fake: FakeGpu) -> None:
    core, pair = Core(64, "bfloat16"), vectors(65, 64)
    found = core.open().apply(*pair).numpy()
    assert [name for name in fake.launches.launched if "tucker" in name] == [
        "tucker_partials_bf16_more",
        "tucker_sum",
    ] * 2
    exact, sizes = core.sums(in_two_bfloat16(pair[0]), pair[1])
    assert (abs(found - exact) <= core.most_roundings() * ROUNDING * sizes).all()


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_library_for_the_cpu_gives_nearly_the_same(precision: str, fake: FakeGpu) -> None:
    core = Core(48, precision)
    context, relation = vectors(17, 48)
    by_cpu = TuckerCore(core.core, core.relation_weight, core.shift, threads=1).apply(context, relation)
    found = core.open().apply(context, relation).numpy()
    # Measured: 8.8e-6 for bfloat16, 9.8e-7 for the others; a context of one bfloat16 number would leave out 2^-8.
    bound = 1.5e-5 if precision == "bfloat16" else 2e-6
    assert abs(found - by_cpu).max() <= bound * np.sqrt((by_cpu**2).mean())


def test_a_row_depends_on_no_other(fake: FakeGpu) -> None:
    """At one place of a tile: numpy's own product, in place of the matrix units, depends on the place."""
    opened = Core(40, "bfloat16").open()
    context, relation = vectors(16, 40)
    expected = opened.apply(context, relation).numpy()
    np.testing.assert_array_equal(opened.apply(context, relation).numpy(), expected)
    np.testing.assert_array_equal(opened.apply(context[:5], relation[:5]).numpy(), expected[:5])
    context[3], relation[11] = np.nan, np.inf
    found = opened.apply(context, relation).numpy()
    others = np.isin(np.arange(16), (3, 11), invert=True)
    np.testing.assert_array_equal(found[others], expected[others])
    assert not np.isfinite(found[~others]).any()


def test_arrays_of_the_gpu_are_read_there_in_the_order_of_a_stream(fake: FakeGpu) -> None:
    core = Core(20, "float32")
    opened, pair = core.open(), vectors(3, 20)
    expected = opened.apply(*pair).numpy()
    stream = fake.gpu.stream()
    placed = [fake.gpu.array(array, stream) for array in pair]
    np.testing.assert_array_equal(opened.apply(*placed, stream).numpy(), expected)
    found = opened.apply(*placed, stream.handle)  # as of another library
    stream.synchronize()
    np.testing.assert_array_equal(found.numpy(), expected)
    with stream.capture() as graph:
        found = opened.apply(*placed, stream)
    status = gpu_library().mmkg_gpu_fill(fake.gpu.handle, placed[0].pointer, 0, placed[0].nbytes, stream.handle)
    assert status == 0
    graph.launch(stream)  # reads what is there now
    np.testing.assert_array_equal(found.numpy(), opened.apply(0 * pair[0], pair[1]).numpy())


def test_weights_may_go_and_memory_comes_back(fake: FakeGpu) -> None:
    before = fake.driver.memory_used
    core = Core(20, "float16")
    opened, pair = core.open(), vectors(3, 20)
    expected, _ = core.sums(*pair)
    del core
    np.testing.assert_allclose(opened.apply(*pair).numpy(), expected, rtol=1e-4, atol=1e-4)
    assert opened.apply(pair[0][:0], pair[1][:0]).shape == (0, 20)
    del opened
    assert fake.driver.memory_used == before


def test_what_does_not_fit_is_refused(fake: FakeGpu) -> None:
    before = fake.driver.memory_used
    core = Core(6, "float32")
    opened, (context, relation) = core.open(), vectors(3, 6)
    with pytest.raises(BackendError, match=r"context: float64 \[3, 6\]; expected float32 \[3, 6\]"):
        opened.apply(context.astype(np.float64), relation)
    with pytest.raises(BackendError, match=r"relation: float32 \[2, 6\]; expected float32 \[3, 6\]"):
        opened.apply(context, fake.gpu.array(relation[:2]))
    fake.driver.fail("cuMemAllocFromPoolAsync", OUT_OF_MEMORY)
    with pytest.raises(BackendError, match="bytes of GPU memory to work in"):
        opened.apply(context, relation)
    with pytest.raises(BackendError, match="device 'cpu' is no CUDA device"):
        GpuTuckerCore(core.core, core.relation_weight, core.shift, "cpu")
    del opened
    for name, place in (("core", 215), ("relation_weight", 11), ("shift", 3)):
        core = Core(6, "float32")
        (core.core if name == "core" else getattr(core, name)).reshape(-1)[place] = np.inf
        with pytest.raises(BackendError, match=f"{name} holds NaN or infinity at {place}"):
            core.open()
    fake.driver.fail("cuMemAlloc", OUT_OF_MEMORY)
    with pytest.raises(BackendError, match="bytes of GPU memory for weights"):
        Core(6, "float32").open()
    assert fake.driver.memory_used == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tucker": None}, "tucker is NULL"),
        ({"context": 0}, "context, relation or out is NULL"),
        ({"batch": -1}, r"batch is negative or above 2\^31 - 1"),
        ({"batch": 2**31}, r"batch is negative or above 2\^31 - 1"),
        ({"relation": 4}, "argument 1 of CUDA kernel tucker_partials_fp32_few lies at no multiple of 16 bytes"),
    ],
)
def test_the_c_function_refuses_what_python_does_not_give(
    change: dict[str, int | None], message: str, fake: FakeGpu
) -> None:
    opened, rows = Core(6, "float32").open(), fake.gpu.array(vectors(3, 6)[0])
    given = {
        "tucker": opened.handle,
        "context": rows.pointer,
        "relation": rows.pointer,
        "batch": 3,
        "out": rows.pointer,
    }
    if change.get("relation"):
        change = {"relation": rows.pointer + 4}
    with pytest.raises(BackendError, match=message):
        check(gpu_library().mmkg_gpu_tucker_apply(*(given | change).values(), 0))
