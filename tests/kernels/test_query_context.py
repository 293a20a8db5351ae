"""The compiled query transformer against the formula in float64, torch in float64, and itself."""

from __future__ import annotations

import gc
import multiprocessing
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from mmkg_sdk import BackendError
from mmkg_sdk.kernels import QueryContext, instruction_sets
from tests.families.mygo.cases import golden_case

from .references.encoder import Arrays
from .references.query import encoded, random_questions, random_weights

# Of the root mean square of a norm's output, which is about 1: a few hundred roundings of 6e-8, a layer.
TOLERANCE = 1e-5
ENTITIES = 19
SETS = [name for name in instruction_sets() if name not in ("avx2_vnni", "avx512_bf16")]  # avx2 and avx512 here
# Width, heads, feed-forward width, layers: every remainder of vectors, panels and column groups.
SIZES = [
    (1, 1, 1, 1),
    (2, 2, 3, 3),
    (6, 3, 5, 2),
    (15, 5, 17, 1),
    (16, 1, 31, 4),
    (17, 1, 33, 2),
    (32, 8, 32, 2),
    (33, 3, 257, 1),
    (130, 2, 520, 2),
    (256, 4, 64, 1),
    (1056, 2, 40, 1),
]
# One below, at and above tiles of 4, 6 and 12 rows; primes; more than a block of any of them.
BATCHES = [1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 23, 24, 25, 59, 60, 61, 64, 65, 401]


@pytest.fixture(params=SETS or ["none"])
def instruction_set(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def random_table(rng: np.random.Generator, width: int) -> np.ndarray:
    return rng.standard_normal((ENTITIES, width)).astype(np.float32)


def encoder_and_questions(
    seed: int = 0, size: int = 60, threads: int = 3, instruction_set: str | None = None
) -> tuple[QueryContext, Arrays]:
    rng = np.random.default_rng(seed)
    encoder = QueryContext(random_weights(rng, 48, 90, 2), 4, threads, instruction_set)
    return encoder, {"table": random_table(rng, 48), **random_questions(rng, size, ENTITIES)}


@pytest.mark.parametrize("sizes", SIZES, ids=lambda sizes: "-".join(map(str, sizes)))
def test_it_gives_the_numbers_of_the_formula_at_every_width(
    sizes: tuple[int, int, int, int], instruction_set: str
) -> None:
    width, heads, hidden, layers = sizes
    rng = np.random.default_rng(width)
    weights, table = random_weights(rng, width, hidden, layers), random_table(rng, width)
    for size, threads in ((14, 1), (3, 2)):
        questions = random_questions(rng, size, ENTITIES)
        found = QueryContext(weights, heads, threads, instruction_set).encode(table, **questions)
        expected = encoded(weights, heads, table, questions)
        # With one or two columns, what is normalised is next to nothing, or nothing but a sign.
        scale = layers * (1 if width > 2 else 30)
        np.testing.assert_allclose(found, expected, rtol=0, atol=scale * TOLERANCE)


def test_it_gives_the_numbers_of_the_formula_at_every_batch_size(instruction_set: str) -> None:
    rng = np.random.default_rng(1)
    weights, table = random_weights(rng, 20, 24, 2), random_table(rng, 20)
    for i, size in enumerate(BATCHES):
        questions = random_questions(rng, size, ENTITIES)
        found = QueryContext(weights, 2, 1 + i % 3, instruction_set).encode(table, **questions)
        np.testing.assert_allclose(found, encoded(weights, 2, table, questions), rtol=0, atol=TOLERANCE)


def test_logits_far_apart_leave_one_token(instruction_set: str) -> None:
    rng = np.random.default_rng(3)
    weights, table = random_weights(rng, 16, 16), random_table(rng, 16)
    weights["layers.0.query.multiplied_weight"] *= np.float32(1e3)
    questions = random_questions(rng, 30, ENTITIES)
    found = QueryContext(weights, 2, 1, instruction_set).encode(table, **questions)
    np.testing.assert_allclose(found, encoded(weights, 2, table, questions), rtol=0, atol=TOLERANCE)


def test_no_question_gives_no_numbers(instruction_set: str) -> None:
    rng = np.random.default_rng(4)
    encoder = QueryContext(random_weights(rng, 6, 5), 2, 2, instruction_set)
    for found in encoder.encode(random_table(rng, 6), **random_questions(rng, 0, ENTITIES)):
        assert found.shape == (0, 6)


def test_what_a_question_gives_depends_on_nothing_but_the_question(instruction_set: str) -> None:
    rng = np.random.default_rng(6)
    weights, table = random_weights(rng, 40, 300, 2), random_table(rng, 40)
    questions = random_questions(rng, 431, ENTITIES)
    expected = np.stack(QueryContext(weights, 2, 1, instruction_set).encode(table, **questions))
    for threads in (1, 2, 3, 7):
        encoder = QueryContext(weights, 2, threads, instruction_set)
        np.testing.assert_array_equal(encoder.encode(table, **questions), expected)
        for start, end in ((0, 1), (17, 30), (400, 431)):
            part = encoder.encode(table, **{name: array[start:end] for name, array in questions.items()})
            np.testing.assert_array_equal(part, expected[:, start:end])


def test_arrays_of_any_layout_give_the_same_numbers() -> None:
    encoder, inputs = encoder_and_questions()
    expected = encoder.encode(**inputs)
    table = inputs["table"]
    unaligned = np.frombuffer(b"\0" + table.tobytes(), np.uint8)[1:].view(np.float32).reshape(table.shape)
    for same in (np.asfortranarray(table), unaligned, np.repeat(table, 2, axis=0)[::2]):
        np.testing.assert_array_equal(encoder.encode(**inputs | {"table": same}), expected)
    every_second = {name: np.repeat(array, 2, axis=0)[::2] for name, array in inputs.items()}
    np.testing.assert_array_equal(encoder.encode(**every_second), expected)


def test_the_weights_may_go_once_the_encoder_is_open() -> None:
    encoder, inputs = encoder_and_questions()
    expected = encoder.encode(**inputs)
    gc.collect()
    junk = [np.full((500, 500), 7, np.float32) for _ in range(5)]
    np.testing.assert_array_equal(encoder.encode(**inputs), expected)
    del junk, encoder
    gc.collect()


@pytest.mark.parametrize("name", ["db15k_like", "mkgw_like", "inner_score"])
def test_golden_checkpoints_give_what_torch_gives_in_float64(name: str, instruction_set: str) -> None:
    import torch

    from mmkg_sdk.families.mygo.graphs import graph_modules

    model = golden_case(name).model().eval()
    module = graph_modules(model, torch.float32)["query_encoder"]
    weights = {key: tensor.numpy() for key, tensor in module.state_dict().items() if not key.startswith("core.")}
    with torch.no_grad():
        exact = graph_modules(model, torch.float64)["query_encoder"].double()
        table = model.double().entity_table()[:-1].float()
    questions = random_questions(np.random.default_rng(0), 50, len(table), len(weights["relations"]))
    read = {}

    def keep(_: object, __: object, outputs: torch.Tensor) -> None:
        read["relation"], read["context"] = outputs[:, 0].numpy(), outputs[:, 1].numpy()

    exact.layers[-1].register_forward_hook(keep)  # type: ignore[union-attr, index]
    with torch.no_grad():
        exact(table.double(), *map(torch.from_numpy, questions.values()))
    context, relation = QueryContext(weights, model.config.num_heads, 2, instruction_set).encode(
        table.numpy(), **questions
    )
    np.testing.assert_allclose(context, read["context"], rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(relation, read["relation"], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("entity", np.zeros(60, np.int32), r"entity: int32 \[60\]; expected int64 \[60\]"),
        ("entity", np.zeros((60, 1), np.int64), r"entity: int64 \[60, 1\]; expected int64 \[60\]"),
        ("relation", np.zeros(59, np.int64), r"relation: int64 \[59\]; expected int64 \[60\]"),
        ("direction", np.zeros(60, bool), "direction: bool"),
        ("table", np.zeros((9, 48)), r"table: float64 \[9, 48\]; expected float32 \[entities, 48\]"),
        ("table", np.zeros((9, 47), np.float32), r"table: float32 \[9, 47\]"),
        ("table", np.zeros(48, np.float32), r"table: float32 \[48\]"),
        ("table", np.zeros((0, 48), np.float32), "rows are not from 1"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(name: str, value: np.ndarray, message: str) -> None:
    encoder, inputs = encoder_and_questions()
    with pytest.raises(BackendError, match=message):
        encoder.encode(**inputs | {name: value})


@pytest.mark.parametrize("place", [0, 59])
@pytest.mark.parametrize("wrong", [-1, 2**63 - 1, -(2**63)])
@pytest.mark.parametrize("name", ["entity", "relation", "direction"])
def test_an_id_out_of_range_is_named(name: str, wrong: int, place: int) -> None:
    encoder, inputs = encoder_and_questions()
    last = {"entity": ENTITIES, "relation": 5, "direction": 2}[name] - 1
    for value in (wrong, last + 1):
        ids = inputs[name].copy()
        ids[place] = value
        with pytest.raises(BackendError, match=rf"question {place}: {name} {value} is not from 0 to {last}"):
            encoder.encode(**inputs | {name: ids})
    assert np.isfinite(encoder.encode(**inputs)).all()


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, 3e38])
def test_a_row_that_is_not_finite_or_too_large_is_an_error_for_those_who_ask_for_it(
    wrong: float, instruction_set: str
) -> None:
    for size, threads in ((3, 1), (3, 2), (300, 2)):
        encoder, inputs = encoder_and_questions(1, size, threads, instruction_set)
        table = inputs["table"].copy()
        table[7, 5] = wrong
        with pytest.raises(BackendError, match="gave NaN or infinity: float32 cannot hold"):
            encoder.encode(**inputs | {"table": table, "entity": np.full(size, 7)})
        others = inputs | {"entity": np.zeros(size, np.int64)}
        np.testing.assert_array_equal(encoder.encode(**others | {"table": table}), encoder.encode(**others))


def test_denormal_rows_are_as_good_as_any(instruction_set: str) -> None:
    rng = np.random.default_rng(8)
    weights, questions = random_weights(rng, 24, 30), random_questions(rng, 9, ENTITIES)
    table = random_table(rng, 24) * np.float32(1e-42)
    found = QueryContext(weights, 3, 1, instruction_set).encode(table, **questions)
    np.testing.assert_allclose(found, encoded(weights, 3, table, questions), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("name", sorted(random_weights(np.random.default_rng(0), 4, 3)))
def test_a_weight_that_is_not_finite_or_misshapen_or_missing_is_named(name: str) -> None:
    weights = random_weights(np.random.default_rng(0), 4, 3)
    for wrong in (np.nan, -np.inf):
        broken = weights[name].copy()
        broken.ravel()[1] = wrong
        with pytest.raises(BackendError, match=r"weights: .*\w+ holds NaN or infinity at 1"):
            QueryContext(weights | {name: broken}, 2)
    for misshapen in (weights[name].astype(np.float64), weights[name].astype(np.float16)):
        with pytest.raises(BackendError, match=rf"{name} is float(64|16).*; expected float32"):
            QueryContext(weights | {name: misshapen}, 2)
    for misshapen in (np.repeat(weights[name], 3, axis=-1), weights[name][..., None], np.float32(1)):
        with pytest.raises(BackendError, match=r"expected (float32|two axes)"):
            QueryContext(weights | {name: misshapen}, 2)
    del weights[name]
    with pytest.raises(BackendError, match=r"weights of another graph|expected float32"):
        QueryContext(weights, 2)


def test_what_the_encoder_cannot_be_is_refused_by_name() -> None:
    weights = random_weights(np.random.default_rng(0), 4, 3)
    for heads in (0, 3, -4):
        with pytest.raises(BackendError, match="width is no multiple of heads"):
            QueryContext(weights, heads)
    with pytest.raises(BackendError, match=r"unknown \['core.relation.bias'\]"):
        QueryContext(weights | {"core.relation.bias": np.ones(4, np.float32)}, 2)
    with pytest.raises(BackendError, match="instruction set 'mmx' is not available"):
        QueryContext(weights, 2, instruction_set="mmx")
    layer = {name.replace("layers.0", "layers.2"): array for name, array in weights.items()}
    with pytest.raises(BackendError, match=r"unknown \['layers\.2\."):
        QueryContext(weights | layer, 2)


def test_calls_from_several_threads_at_once_give_the_numbers_of_one() -> None:
    encoder, inputs = encoder_and_questions(11, 300)
    few = inputs | {name: inputs[name][:2] for name in ("entity", "relation", "direction")}
    expected = [encoder.encode(**few), encoder.encode(**inputs)]
    with ThreadPoolExecutor(6) as callers:
        for i, found in enumerate(callers.map(lambda i: encoder.encode(**(few, inputs)[i % 2]), range(120))):
            np.testing.assert_array_equal(found, expected[i % 2])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_forked_child_goes_on_encoding() -> None:
    encoder, inputs = encoder_and_questions(12, 100)
    expected = encoder.encode(**inputs)  # the threads are there before the fork
    fork = multiprocessing.get_context("fork")
    answers = fork.SimpleQueue()
    child = fork.Process(target=lambda: answers.put(encoder.encode(**inputs)))
    child.start()
    child.join(30)
    assert child.exitcode == 0
    np.testing.assert_array_equal(answers.get(), expected)
