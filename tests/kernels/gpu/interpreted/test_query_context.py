"""GpuQueryContext, its launcher and kernels, against the formula in float64 and the library for the CPU.

The kernels run in Triton's interpreter, behind a stand-in for NVIDIA's driver; it multiplies float32 in place of the
matrix units. So what is tested is which numbers are multiplied and added, not how the hardware rounds. Nothing here has
run on a GPU.
"""

from __future__ import annotations

import numpy as np
import pytest

from mmkg_sdk.errors import BackendError
from mmkg_sdk.kernels import QueryContext
from mmkg_sdk.kernels.gpu.arguments import TableOnGpu
from mmkg_sdk.kernels.gpu.query_context import GpuQueryContext
from mmkg_sdk.kernels.gpu.tucker import GpuTuckerCore
from tests.kernels.references.encoder import Arrays
from tests.kernels.references.query import encoded, random_questions, random_weights

from .conftest import FakeGpu

ENTITIES = 19
# Of the root mean square of a norm's output, which is about 1: a few dozen roundings of 6e-8, a layer. Measured:
# 9.4e-7.
TOLERANCE = 3e-6


def questions_of(size: int, width: int) -> Arrays:
    rng = np.random.default_rng(size)
    table = rng.standard_normal((ENTITIES, width), dtype=np.float32)
    return {"table": table, **random_questions(rng, size, ENTITIES)}


def expected_of(weights: Arrays, heads: int, questions: Arrays) -> np.ndarray:
    return encoded(weights, heads, questions["table"], questions)


def vectors_of(transformer: GpuQueryContext, questions: Arrays) -> np.ndarray:
    """Context and relation, [2, batch, width]."""
    return np.stack([found.numpy() for found in transformer.encode(**questions)])


@pytest.mark.parametrize(
    ("width", "heads", "hidden", "layers"),
    [
        (1, 1, 1, 1),
        (6, 3, 5, 1),  # three groups, one of four without a head
        (65, 1, 31, 1),  # a head of two groups
        (128, 2, 100, 2),
        (130, 2, 65, 1),
    ],
)
def test_it_gives_the_numbers_of_the_formula_at_every_width(
    width: int, heads: int, hidden: int, layers: int, fake: FakeGpu
) -> None:
    weights = random_weights(np.random.default_rng(width), width, hidden, layers)
    questions = questions_of(5, width)
    found = vectors_of(GpuQueryContext(weights, heads), questions)
    np.testing.assert_allclose(found, expected_of(weights, heads, questions), rtol=0, atol=TOLERANCE * layers)


def test_it_gives_the_numbers_of_the_formula_at_every_batch_size(fake: FakeGpu) -> None:
    weights = random_weights(np.random.default_rng(0), 20, 24)
    transformer = GpuQueryContext(weights, 2)
    for size in (1, 5, 6, 22, 65):  # 2 or 3 tokens of each, around tiles; two parts
        questions = questions_of(size, 20)
        found = vectors_of(transformer, questions)
        np.testing.assert_allclose(found, expected_of(weights, 2, questions), rtol=0, atol=TOLERANCE)
    tiles = {"linear_few", "linear_many", "linear_relu_few"}
    assert tiles | {"query_sequence_128", "query_attention_128", "add_norm_128"} == set(fake.launches.launched)


def test_the_library_for_the_cpu_gives_nearly_the_same(fake: FakeGpu) -> None:
    weights, questions = random_weights(np.random.default_rng(0), 48, 40, 2), questions_of(33, 48)
    by_cpu = np.stack(QueryContext(weights, 2, 1).encode(**questions))
    # Measured: 1.1e-6.
    np.testing.assert_allclose(vectors_of(GpuQueryContext(weights, 2), questions), by_cpu, rtol=0, atol=3e-6)


def test_a_question_depends_on_no_other(fake: FakeGpu) -> None:
    transformer, questions = GpuQueryContext(random_weights(np.random.default_rng(0), 20, 24), 2), questions_of(19, 20)
    expected = vectors_of(transformer, questions)
    np.testing.assert_array_equal(vectors_of(transformer, questions), expected)
    # Ids on the GPU that are none, and a row that is not finite, spoil their own questions; nothing is read there.
    questions["entity"][:7] = [ENTITIES, -1, 2, 2, 2, 2, 1]
    expected = vectors_of(transformer, questions | {"entity": questions["entity"].clip(0, ENTITIES - 1)})
    questions["relation"][2:4] = 5, -(10**12)
    questions["direction"][4:6] = 2, -1
    questions["table"][1] = np.inf
    spoilt = (questions["entity"] == 1) | (np.arange(19) < 6)
    on_gpu = {name: fake.gpu.array(array) for name, array in questions.items()}
    with np.errstate(invalid="ignore"):
        found = np.stack([array.numpy() for array in transformer.encode(**on_gpu)])
    assert np.isnan(found[:, spoilt]).all()
    np.testing.assert_array_equal(found[:, ~spoilt], expected[:, ~spoilt])
    assert (~spoilt).sum() > 10


def test_query_vectors_are_the_product_of_what_the_transformer_gives(fake: FakeGpu) -> None:
    rng, questions = np.random.default_rng(0), questions_of(7, 20)
    transformer = GpuQueryContext(random_weights(rng, 20, 24), 2)
    core = rng.standard_normal((20, 20, 20), np.float32), rng.standard_normal((20, 20), np.float32)
    tucker = GpuTuckerCore(*core, np.zeros(20, np.float32))
    context, relation = transformer.encode(**questions)
    table = TableOnGpu.copied(fake.gpu, questions.pop("table"))
    stream = fake.gpu.stream()
    found = transformer.query_vectors(tucker, table, **questions, stream=stream)
    np.testing.assert_array_equal(found.numpy(), tucker.apply(context, relation).numpy())
    np.testing.assert_array_equal(transformer.query_vectors(None, table, **questions).numpy(), context.numpy())
    questions["relation"][6] = 5
    with pytest.raises(BackendError, match="question 6: relation 5 is not from 0 to 4"):
        transformer.query_vectors(tucker, table, **questions)
    with pytest.raises(BackendError, match=r"entity: int32 \[7\]; expected int64 \[7\]"):
        transformer.query_vectors(tucker, table, **questions | {"entity": questions["entity"].astype(np.int32)})
    narrow = GpuTuckerCore(*(array[..., :9, :9][:9] for array in core), np.zeros(9, np.float32))
    with pytest.raises(BackendError, match="tucker is of another GPU or width"):
        transformer.query_vectors(narrow, table, **questions)


def test_what_does_not_fit_is_refused(fake: FakeGpu) -> None:
    before = fake.driver.memory_used
    weights, questions = random_weights(np.random.default_rng(0), 20, 24), questions_of(4, 20)
    transformer = GpuQueryContext(weights, 2)
    for name, limit in (("entity", ENTITIES), ("relation", 5), ("direction", 2)):
        for wrong in (-1, limit):
            ids = questions[name].copy()
            ids[3] = wrong
            with pytest.raises(BackendError, match=f"query 3: {name} {wrong} is not from 0 to {limit - 1}"):
                transformer.encode(**questions | {name: ids})
    with pytest.raises(BackendError, match=r"direction: int64 \[3\]; expected int64 \[4\]"):
        transformer.encode(**questions | {"direction": questions["direction"][:3]})
    with pytest.raises(BackendError, match=r"table: float32 \[19, 19\]; expected float32 \[19, 20\]"):
        transformer.encode(**questions | {"table": questions["table"][:, :19]})
    none = {name: array[:0] for name, array in questions.items() if name != "table"}
    assert vectors_of(transformer, {"table": questions["table"], **none}).shape == (2, 0, 20)
    del transformer
    weights["layers.0.key.bias"][4] = np.inf
    with pytest.raises(BackendError, match="query_bias, key_bias or value_bias holds NaN or infinity at 4"):
        GpuQueryContext(weights, 2)
    assert fake.driver.memory_used == before
