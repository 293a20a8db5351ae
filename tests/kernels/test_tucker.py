"""The compiled Tucker product against the formula in float64, the exported graph and itself."""

from __future__ import annotations

import gc
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mmkg_sdk import BackendError
from mmkg_sdk.kernels import TuckerCore, instruction_sets
from tests.families.mygo.cases import golden_case

Array = NDArray[Any]
SETS = [name for name in instruction_sets() if "_" not in name]  # others are avx2 and avx512 here
PRECISIONS = ("float32", "bfloat16", "float16")
# One below, at and above vectors, panels and strips of any set; primes.
WIDTHS = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 128, 256, 257]


@pytest.fixture(params=SETS or ["none"])
def instruction_set(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


class Core:
    """Random weights in a precision, and what they are worth in float64."""

    def __init__(self, rng: np.random.Generator, width: int, precision: str = "float32", scale: float = 1.0) -> None:
        numbers = rng.standard_normal((width, width * width), dtype=np.float32) * np.float32(scale)
        self.core, self.wide = stored(numbers, precision)
        self.relation_weight, self.wide_relation_weight = stored(
            rng.standard_normal((width, width), dtype=np.float32), precision
        )
        self.shift = rng.standard_normal(width, dtype=np.float32)

    def open(self, threads: int = 1, instruction_set: str | None = None) -> TuckerCore:
        return TuckerCore(self.core, self.relation_weight, self.shift, threads, instruction_set)

    def check(self, found: Array, context: Array, relation: Array) -> None:
        """Within the rounding errors of the longest chain of sums, two for each multiply-add."""
        width = context.shape[1]
        steps = 2 * (width + width // 32 + 40)
        pairs = (relation[:, :, None].astype(np.float64) * context[:, None, :]).reshape(len(context), width**2)
        slices = self.wide.reshape(width**2, width)
        expected = pairs @ slices + relation @ self.wide_relation_weight + self.shift
        sizes = abs(pairs) @ abs(slices) + abs(relation) @ abs(self.wide_relation_weight) + abs(self.shift)
        assert found.dtype == np.float32
        assert (abs(found - expected) <= steps * 2.0**-24 * sizes).all()


def stored(numbers: Array, precision: str) -> tuple[Array, Array]:
    """Numbers as a bundle stores them, and these in float64."""
    if precision == "bfloat16":
        bits = (numbers.view(np.uint32) + 0x8000 >> 16).astype(np.uint16)
        return bits, (bits.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    kept = numbers.astype(precision)
    return kept, kept.astype(np.float64)


def vectors(rng: np.random.Generator, batch: int, width: int) -> tuple[Array, Array]:
    return (
        rng.standard_normal((batch, width), dtype=np.float32),
        rng.standard_normal((batch, width), dtype=np.float32),
    )


@pytest.mark.parametrize("width", WIDTHS)
def test_products_are_those_of_the_formula_at_every_width(width: int, instruction_set: str) -> None:
    rng = np.random.default_rng(width)
    for i, precision in enumerate(PRECISIONS if width < 200 else PRECISIONS[width % 2 :: 2]):
        core = Core(rng, width, precision)
        opened = core.open(1 + i, instruction_set)
        for batch in (1, 2, 3, 14):
            pair = vectors(rng, batch, width)
            core.check(opened.apply(*pair), *pair)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_products_are_those_of_the_formula_at_every_batch_size(precision: str, instruction_set: str) -> None:
    rng = np.random.default_rng(1)
    core = Core(rng, 65, precision)
    opened = [core.open(threads, instruction_set) for threads in (1, 2, 3)]
    for batch in (*range(1, 41), 513):
        pair = vectors(rng, batch, 65)
        core.check(opened[batch % 3].apply(*pair), *pair)


def test_a_row_depends_on_nothing_but_itself(instruction_set: str) -> None:
    rng = np.random.default_rng(2)
    for width, precision in ((70, "float32"), (64, "bfloat16"), (33, "float16")):
        core = Core(rng, width, precision)
        context, relation = vectors(rng, 805, width)  # more than twice what goes over the core together
        expected = core.open(1, instruction_set).apply(context, relation)
        core.check(expected, context, relation)
        for threads in (1, 2, 3, 7, 50):
            opened = core.open(threads, instruction_set)
            np.testing.assert_array_equal(opened.apply(context, relation), expected)
            for start, end in ((0, 1), (17, 30), (400, 403), (390, 805)):
                np.testing.assert_array_equal(
                    opened.apply(context[start:end], relation[start:end]), expected[start:end]
                )


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_every_number_of_two_bytes_counts_as_what_it_is(precision: str, instruction_set: str) -> None:
    width = 41
    bits = np.resize(np.arange(1 << 16).astype(np.uint16), width**3)
    exponent = 0x7F80 if precision == "bfloat16" else 0x7C00
    bits[bits & exponent == exponent] = 0  # neither NaN nor infinity
    core = bits.reshape(width, width**2)
    expected = (
        (bits.astype(np.uint32) << 16).view(np.float32)
        if precision == "bfloat16"
        else bits.view(np.float16).astype(np.float32)
    )
    if precision == "float16":
        core = core.view(np.float16)
    opened = TuckerCore(core, np.zeros_like(core[:, :width]), np.zeros(width, np.float32), 2, instruction_set)
    ones = np.eye(width, dtype=np.float32)
    # Each pair of unit vectors picks a row of the core; everything else is zeros.
    found = opened.apply(np.tile(ones, (width, 1)), np.repeat(ones, width, axis=0))
    np.testing.assert_array_equal(found.ravel(), expected)


def test_the_smallest_and_largest_numbers_are_kept(instruction_set: str) -> None:
    rng = np.random.default_rng(4)
    core = Core(rng, 20)
    core.relation_weight[:] = 0
    core.shift[:] = 0
    context, relation = vectors(rng, 5, 20)
    opened = core.open(1, instruction_set)
    plain = opened.apply(context, relation)
    up, down = np.float32(2.0**100), np.float32(2.0**-100)
    np.testing.assert_array_equal(opened.apply(context * up, relation * down), plain)
    # Denormal results: multiples of 2^-149, each slice's part rounded to one.
    tiny = opened.apply(context * np.float32(2.0**-70), relation * np.float32(2.0**-70))
    np.testing.assert_allclose(tiny, plain * 2.0**-140, rtol=0, atol=21 * 2.0**-149)
    assert np.count_nonzero(tiny) > 50


@pytest.mark.parametrize("name", ["db15k_like", "mkgw_like"])
def test_golden_checkpoints_give_what_torch_makes_of_them_in_float64(name: str, instruction_set: str) -> None:
    import torch

    from mmkg_sdk.families.mygo.graphs import graph_modules

    model = golden_case(name).model().eval()
    module = graph_modules(model, torch.float32)["query_encoder"].get_submodule("core")
    weights = {key: tensor.numpy() for key, tensor in module.state_dict().items()}
    core, relation_weight = weights["multiplied_core"], weights["relation.multiplied_weight"]
    opened = TuckerCore(core, relation_weight, weights["relation.bias"], 2, instruction_set)
    context, relation = vectors(np.random.default_rng(5), 21, len(core))
    decoder = model.double().tucker_decoder
    assert decoder is not None
    with torch.no_grad():  # as published, batch norms and all
        wide = decoder(torch.from_numpy(context).double(), torch.from_numpy(relation).double()).numpy()
    np.testing.assert_allclose(opened.apply(context, relation), wide, rtol=1e-4, atol=1e-5 * abs(wide).max())


def test_the_core_is_read_where_it_lies(tmp_path: Path, instruction_set: str) -> None:
    rng = np.random.default_rng(6)
    core = Core(rng, 40, "float16")
    pair = vectors(rng, 9, 40)
    expected = core.open(1, instruction_set).apply(*pair)
    path = tmp_path / "core"
    path.write_bytes(b"\0" + core.core.tobytes())  # unaligned, too
    mapped = np.memmap(path, np.uint8, "r")[1:].view(np.float16).reshape(core.core.shape)
    opened = TuckerCore(mapped, core.relation_weight, core.shift, 2, instruction_set)
    del mapped
    gc.collect()
    np.testing.assert_array_equal(opened.apply(*pair), expected)


def test_arrays_of_any_layout_give_the_same_products() -> None:
    rng = np.random.default_rng(7)
    core = Core(rng, 40)
    context, relation = vectors(rng, 9, 40)
    expected = core.open().apply(context, relation)
    cube = TuckerCore(core.core.reshape(40, 40, 40), np.asfortranarray(core.relation_weight), core.shift)
    turned = TuckerCore(np.asfortranarray(core.core), core.relation_weight, np.repeat(core.shift, 2)[::2])
    unaligned = np.frombuffer(b"\0" + context.tobytes(), np.uint8)[1:].view(np.float32).reshape(9, 40)
    for opened in (cube, turned):
        np.testing.assert_array_equal(opened.apply(np.asfortranarray(context), relation), expected)
        np.testing.assert_array_equal(opened.apply(unaligned, np.repeat(relation, 2, axis=0)[::2]), expected)
        assert opened.apply(context[:0], relation[:0]).shape == (0, 40)


def test_the_weights_may_go_once_the_core_is_open() -> None:
    rng = np.random.default_rng(8)
    core = Core(rng, 30)
    pair = vectors(rng, 4, 30)
    opened = core.open()
    expected = opened.apply(*pair)
    del core
    gc.collect()
    junk = [np.full((300, 300), 7, np.float32) for _ in range(5)]
    np.testing.assert_array_equal(opened.apply(*pair), expected)
    del junk, opened
    gc.collect()


def test_it_says_how_it_stores_and_multiplies(instruction_set: str) -> None:
    for precision in PRECISIONS:
        opened = Core(np.random.default_rng(0), 3, precision).open(1, instruction_set)
        assert (opened.precision, opened.instruction_set, opened.width) == (precision, instruction_set, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c, r: (c.astype(np.float64), r), r"context: float64 \[50, 9\]; expected float32 \[50, 9\]"),
        (lambda c, r: (c[:, :-1], r), r"context: float32 \[50, 8\]; expected float32 \[50, 9\]"),
        (lambda c, r: (c[0], r), r"context: float32 \[9\]; expected float32 \[9, 9\]"),
        (lambda c, r: (c, r[:-1]), r"relation: float32 \[49, 9\]; expected float32 \[50, 9\]"),
        (lambda c, r: (changed(c, (31, 8), np.nan), r), "row 31: context holds NaN or infinity"),
        (lambda c, r: (c, changed(r, (49, 0), -np.inf)), "row 49: relation holds NaN or infinity"),
        (lambda c, r: (c * np.float32(1e20), r * np.float32(1e20)), "gave NaN or infinity: float32 cannot hold"),
    ],
)
def test_vectors_that_do_not_fit_are_refused(
    change: Callable[[Array, Array], tuple[Array, Array]], message: str, instruction_set: str
) -> None:
    rng = np.random.default_rng(9)
    opened = Core(rng, 9).open(3, instruction_set)
    pair = vectors(rng, 50, 9)
    with pytest.raises(BackendError, match=message):
        opened.apply(*change(*pair))
    assert np.isfinite(opened.apply(*pair)).all()


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_weight_that_is_not_finite_is_named(precision: str, wrong: float) -> None:
    rng = np.random.default_rng(10)
    bad = stored(np.array([wrong], np.float32), precision)[0][0]
    for place in (0, 5, 70**3 - 1):
        core = Core(rng, 70, precision)
        core.core.reshape(-1)[place] = bad
        with pytest.raises(BackendError, match=f"core holds NaN or infinity at {place}"):
            core.open(3)
    core = Core(rng, 4, precision)
    core.relation_weight[2, 3] = bad
    with pytest.raises(BackendError, match="relation_weight holds NaN or infinity at 11"):
        core.open()
    core = Core(rng, 4, precision)
    core.shift[3] = wrong
    with pytest.raises(BackendError, match="shift holds NaN or infinity at 3"):
        core.open()


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("core", lambda a: a.astype(np.float64), "core is float64; expected float32, float16, or bfloat16 as uint16"),
        ("core", lambda a: a[:, :-1], r"core: float32 \[6, 35\]; expected float32 \[6, 36\]"),
        ("core", lambda a: a[0], r"core: float32 \[36\]; expected float32 \[36, 1296\]"),
        ("core", lambda a: a[0, 0], r"core: float32 \[\]; expected float32 \[0, 0\]"),
        ("relation_weight", lambda a: a.astype(np.float16), r"relation_weight: float16 \[6, 6\]; expected float32"),
        ("relation_weight", lambda a: a[:, :-1], r"relation_weight: float32 \[6, 5\]; expected float32 \[6, 6\]"),
        ("shift", lambda a: a[:-1], r"shift: float32 \[5\]; expected float32 \[6\]"),
        ("shift", lambda a: a.astype(np.float16), r"shift: float16 \[6\]; expected float32 \[6\]"),
    ],
)
def test_weights_that_do_not_fit_are_refused(name: str, change: Callable[[Array], Array], message: str) -> None:
    core = Core(np.random.default_rng(11), 6)
    setattr(core, name, change(getattr(core, name)))
    with pytest.raises(BackendError, match=message):
        core.open()


def test_a_core_of_no_width_and_an_unknown_instruction_set_are_refused() -> None:
    with pytest.raises(BackendError, match="width is not from 1"):
        Core(np.random.default_rng(11), 0).open()
    with pytest.raises(BackendError, match="instruction set 'mmx' is not available"):
        Core(np.random.default_rng(11), 6).open(1, "mmx")


def test_calls_from_several_threads_at_once_give_the_products_of_one() -> None:
    rng = np.random.default_rng(12)
    core = Core(rng, 64)
    opened, pair = core.open(3), vectors(rng, 40, 64)
    expected = opened.apply(*pair)
    with ThreadPoolExecutor(6) as callers:
        for found in callers.map(lambda _: opened.apply(*pair), range(60)):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_forked_child_goes_on_multiplying() -> None:
    rng = np.random.default_rng(13)
    opened, pair = Core(rng, 64).open(2), vectors(rng, 40, 64)
    expected = opened.apply(*pair)  # the threads are there before the fork
    fork = multiprocessing.get_context("fork")
    answers = fork.SimpleQueue()
    child = fork.Process(target=lambda: answers.put(opened.apply(*pair)))
    child.start()
    child.join(30)
    assert child.exitcode == 0
    np.testing.assert_array_equal(answers.get(), expected)


def changed(array: Array, place: tuple[int, ...], value: float) -> Array:
    out = array.copy()
    out[place] = value
    return out
