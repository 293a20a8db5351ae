"""Encoders at the published width on a real GPU. Nobody has run these yet: without a GPU they skip, and say why."""

from __future__ import annotations

import numpy as np
import pytest

from mmkg_sdk.kernels.gpu import gpu_kernels_absence
from mmkg_sdk.kernels.gpu.query_context import GpuQueryContext
from mmkg_sdk.kernels.gpu.token_table import GpuTokenTableEncoder
from mmkg_sdk.kernels.gpu.tucker import GpuTuckerCore
from tests.kernels.references import encoder, query

_WHY = gpu_kernels_absence("cuda")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(bool(_WHY), reason=f"needs an NVIDIA GPU and its kernels: {_WHY}"),
]
WIDTH, HEADS, HIDDEN = 256, 2, 1024
# Around tiles of 16, 64 and 128 rows, and parts of a batch.
BATCHES = [1, 15, 16, 17, 255, 256, 257, 2049]


@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16"])
def test_tucker_products_are_those_of_the_formula_and_the_same_twice(precision: str) -> None:
    rng = np.random.default_rng(0)
    core = rng.standard_normal((WIDTH, WIDTH, WIDTH), np.float32)
    weight = rng.standard_normal((WIDTH, WIDTH), np.float32)
    shift = rng.standard_normal(WIDTH, np.float32)
    wide_core, wide_weight = core, weight
    if precision == "float16":
        core, weight = core.astype(np.float16), weight.astype(np.float16)
        wide_core, wide_weight = core.astype(np.float32), weight.astype(np.float32)
    if precision == "bfloat16":
        core, weight = ((array.view(np.uint32) + 0x8000 >> 16).astype(np.uint16) for array in (core, weight))
        wide_core, wide_weight = ((array.astype(np.uint32) << 16).view(np.float32) for array in (core, weight))
    opened = GpuTuckerCore(core, weight, shift)
    context, relation = rng.standard_normal((2, BATCHES[-1], WIDTH), np.float32)
    some = np.arange(0, BATCHES[-1], 256)
    exact = np.stack(
        [
            (context[row].astype(np.float64) @ wide_core + wide_weight).T @ relation[row].astype(np.float64) + shift
            for row in some
        ]
    )
    size = np.sqrt((exact**2).mean())
    for batch in BATCHES:
        pair = context[:batch], relation[:batch]
        found = opened.apply(*pair).numpy()
        np.testing.assert_array_equal(opened.apply(*pair).numpy(), found)
        rows = some[some < batch]
        # Four times what the interpreter gives.
        atol = (3e-5 if precision == "bfloat16" else 8e-6) * size
        np.testing.assert_allclose(found[rows], exact[: len(rows)], rtol=0, atol=atol)
        # The same place in a smaller batch of the same kernel.
        if batch in (16, 256, 2049):
            less = batch - 1
            np.testing.assert_array_equal(opened.apply(context[:less], relation[:less]).numpy(), found[:less])


@pytest.mark.parametrize("tokens", [1, 14, 200])
def test_token_table_vectors_are_those_of_the_formula_and_the_same_twice(tokens: int) -> None:
    rng = np.random.default_rng(1)
    weights = encoder.random_weights(rng, WIDTH, HEADS, HIDDEN, 700, 900)
    opened = GpuTokenTableEncoder(weights, 700)
    batch = encoder.random_batch(rng, 20_000, WIDTH, (700, tokens), (900, tokens))
    for size in (1, 16, 65, 20_000):
        some = {name: array[:size] for name, array in batch.items()}
        found = opened.encode(**some).numpy()
        np.testing.assert_array_equal(opened.encode(**some).numpy(), found)
        few = {name: array[::997] for name, array in some.items()}
        np.testing.assert_allclose(found[::997], encoder.encoded(weights, 700, few), rtol=0, atol=2e-5)


def test_queries_are_those_of_the_formula_and_the_same_twice() -> None:
    rng = np.random.default_rng(2)
    weights = query.random_weights(rng, WIDTH, HIDDEN, 2)
    opened = GpuQueryContext(weights, HEADS)
    table = rng.standard_normal((1000, WIDTH), np.float32)
    questions = query.random_questions(rng, BATCHES[-1], len(table))
    for size in BATCHES:
        some = {name: array[:size] for name, array in questions.items()}
        found = np.stack([array.numpy() for array in opened.encode(table, **some)])
        np.testing.assert_array_equal(np.stack([array.numpy() for array in opened.encode(table, **some)]), found)
        few = {name: array[::97] for name, array in some.items()}
        np.testing.assert_allclose(found[:, ::97], query.encoded(weights, HEADS, table, few), rtol=0, atol=4e-5)
