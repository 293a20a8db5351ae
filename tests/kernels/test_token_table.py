"""The compiled token-table encoder against the formula in float64, the exported graph and itself."""

from __future__ import annotations

import gc
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import mmkg_sdk
from mmkg_sdk import BackendError
from mmkg_sdk.families.mygo.modalities import token_inputs
from mmkg_sdk.families.mygo.runtime import bundle_entities, entity_batch
from mmkg_sdk.kernels import TokenTableEncoder, instruction_sets
from tests.families.mygo.cases import golden_case

from .references.encoder import Arrays, encoded, random_batch, random_weights

# Of the root mean square of a norm's output, which is about 1: a few hundred roundings of 6e-8.
TOLERANCE = 1e-5
ROWS = (7, 11)
SETS = [name for name in instruction_sets() if "_" not in name]  # others are avx2 and avx512 here
# Width, heads, feed-forward width: every remainder of vectors, panels, head groups and hidden strips.
WIDTHS = [
    (1, 1, 1),
    (2, 2, 3),
    (6, 3, 5),
    (15, 5, 17),
    (16, 1, 31),
    (17, 1, 33),
    (24, 8, 255),
    (32, 8, 256),
    (33, 3, 257),
    (96, 6, 100),
    (130, 2, 520),
    (256, 2, 64),
    (528, 1, 40),
]
# One below, at and above tiles of 4, 6 and 12 rows; primes; more than a block of any of them.
BATCHES = [1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 23, 24, 25, 97, 401]
TOKENS = [(1, 1), (0, 1), (1, 0), (0, 0), (13, 2), (14, 1), (30, 19)]


@pytest.fixture(params=SETS or ["none"])
def instruction_set(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def encoder_and_batch(seed: int = 0, size: int = 60) -> tuple[TokenTableEncoder, Arrays]:
    rng = np.random.default_rng(seed)
    encoder = TokenTableEncoder(random_weights(rng, 48, 4, 90, *ROWS), ROWS[0], 3)
    return encoder, random_batch(rng, size, 48, (ROWS[0], 5), (ROWS[1], 4))


@pytest.mark.parametrize("sizes", WIDTHS, ids=lambda sizes: "-".join(map(str, sizes)))
def test_vectors_are_those_of_the_formula_at_every_width(sizes: tuple[int, int, int], instruction_set: str) -> None:
    rng = np.random.default_rng(sizes[0])
    weights = random_weights(rng, *sizes, *ROWS)
    encoder = TokenTableEncoder(weights, ROWS[0], 1, instruction_set=instruction_set)
    batch = random_batch(rng, 14, sizes[0], (ROWS[0], 3), (ROWS[1], 2))
    # With one column the norm's input is nothing but its mean.
    np.testing.assert_allclose(encoder.encode(**batch), encoded(weights, ROWS[0], batch), rtol=0, atol=TOLERANCE)


def test_vectors_are_those_of_the_formula_at_every_batch_size(instruction_set: str) -> None:
    rng = np.random.default_rng(1)
    weights = random_weights(rng, 20, 2, 24, *ROWS)
    for i, size in enumerate(BATCHES):
        encoder = TokenTableEncoder(weights, ROWS[0], 1 + i % 3, instruction_set=instruction_set)
        visual, text = TOKENS[i % len(TOKENS)]
        batch = random_batch(rng, size, 20, (ROWS[0], visual), (ROWS[1], text))
        np.testing.assert_allclose(encoder.encode(**batch), encoded(weights, ROWS[0], batch), rtol=0, atol=TOLERANCE)


def test_many_tokens_and_a_missing_modality(instruction_set: str) -> None:
    rng = np.random.default_rng(2)
    weights = random_weights(rng, 24, 3, 24, *ROWS)
    encoder = TokenTableEncoder(weights, ROWS[0], 2, instruction_set=instruction_set)
    batch = random_batch(rng, 9, 24, (ROWS[0], 700), (ROWS[1], 400))
    batch["visual_mask"][:3] = True
    batch["text_mask"][2:5] = True
    np.testing.assert_allclose(encoder.encode(**batch), encoded(weights, ROWS[0], batch), rtol=0, atol=TOLERANCE)


def test_long_sequences_are_encoded_in_chunks_of_several_blocks_and_slices(instruction_set: str) -> None:
    rng = np.random.default_rng(6)
    weights = random_weights(rng, 144, 1, 24, *ROWS)  # slices of 64, 64 and 16 columns
    encoder = TokenTableEncoder(weights, ROWS[0], 1, instruction_set=instruction_set)
    batch = random_batch(rng, 900, 144, (ROWS[0], 100), (ROWS[1], 60))
    expected = encoded(weights, ROWS[0], batch)
    np.testing.assert_allclose(encoder.encode(**batch), expected, rtol=0, atol=TOLERANCE)
    batch["text_tokens"][899, 7] = ROWS[1]
    with pytest.raises(BackendError, match="entity 899: a token is no row"):
        encoder.encode(**batch)


def test_logits_far_apart_leave_one_token(instruction_set: str) -> None:
    rng = np.random.default_rng(3)
    weights = random_weights(rng, 16, 2, 16, *ROWS)
    weights["logits"] *= np.float32(1e4)
    encoder = TokenTableEncoder(weights, ROWS[0], 1, instruction_set=instruction_set)
    batch = random_batch(rng, 30, 16, (ROWS[0], 6), (ROWS[1], 6))
    np.testing.assert_allclose(encoder.encode(**batch), encoded(weights, ROWS[0], batch), rtol=0, atol=TOLERANCE)


def test_an_empty_batch_gives_no_vectors(instruction_set: str) -> None:
    rng = np.random.default_rng(4)
    encoder = TokenTableEncoder(random_weights(rng, 6, 2, 5, *ROWS), ROWS[0], 2, instruction_set=instruction_set)
    assert encoder.encode(**random_batch(rng, 0, 6, (ROWS[0], 3), (ROWS[1], 2))).shape == (0, 6)


def test_a_vector_depends_on_nothing_but_its_entity(instruction_set: str) -> None:
    rng = np.random.default_rng(6)
    weights = random_weights(rng, 40, 2, 300, *ROWS)
    batch = random_batch(rng, 431, 40, (ROWS[0], 6), (ROWS[1], 5))
    expected = TokenTableEncoder(weights, ROWS[0], 1, instruction_set=instruction_set).encode(**batch)
    for threads in (1, 2, 3, 7):
        encoder = TokenTableEncoder(weights, ROWS[0], threads, instruction_set=instruction_set)
        np.testing.assert_array_equal(encoder.encode(**batch), expected)
        for start, end in ((0, 1), (17, 30), (400, 431)):
            part = encoder.encode(**{name: array[start:end] for name, array in batch.items()})
            np.testing.assert_array_equal(part, expected[start:end])


def test_masked_tokens_leave_no_trace(instruction_set: str) -> None:
    rng = np.random.default_rng(7)
    weights = random_weights(rng, 24, 4, 30, *ROWS)
    encoder = TokenTableEncoder(weights, ROWS[0], 1, instruction_set=instruction_set)
    batch = random_batch(rng, 20, 24, (ROWS[0], 6), (ROWS[1], 5), masked=0.0)
    padded = {"structure": batch["structure"]}
    for kind, rows in zip(("visual", "text"), ROWS, strict=True):
        tokens = batch[f"{kind}_tokens"]
        wide = rng.integers(0, rows, (20, 40))
        places = np.sort(rng.permuted(np.tile(np.arange(40), (20, 1)), axis=1)[:, : tokens.shape[1]], axis=1)
        mask = np.ones((20, 40), dtype=bool)
        np.put_along_axis(wide, places, tokens, axis=1)
        np.put_along_axis(mask, places, False, axis=1)
        padded |= {f"{kind}_tokens": wide, f"{kind}_mask": mask}
    np.testing.assert_array_equal(encoder.encode(**padded), encoder.encode(**batch))


def test_rounded_values_are_the_formula_with_rounded_values(instruction_set: str) -> None:
    rng = np.random.default_rng(8)
    weights = random_weights(rng, 34, 2, 40, *ROWS)
    batch = random_batch(rng, 40, 34, (ROWS[0], 6), (ROWS[1], 5))
    encoder = TokenTableEncoder(weights, ROWS[0], 1, storage="bfloat16", instruction_set=instruction_set)
    values = weights["multiplied_values"]
    steps = np.exp2(np.floor(np.log2(np.abs(values, dtype=np.float64))) - 7)  # 8 bits of mantissa
    rounded = weights | {"multiplied_values": np.round(values / steps) * steps}
    found = encoder.encode(**batch)
    np.testing.assert_allclose(found, encoded(rounded, ROWS[0], batch), rtol=0, atol=TOLERANCE)
    # The values are off by up to 2^-9 of themselves, the vectors by no more than a few times that.
    error = np.abs(found - encoded(weights, ROWS[0], batch)).max()
    assert 1e-4 < error < 2e-2


def test_arrays_of_any_layout_give_the_same_vectors() -> None:
    encoder, batch = encoder_and_batch()
    expected = encoder.encode(**batch)
    fortran = {name: np.asfortranarray(array) for name, array in batch.items()}
    np.testing.assert_array_equal(encoder.encode(**fortran), expected)
    unaligned = np.frombuffer(b"\0" + batch["structure"].tobytes(), np.uint8)[1:].view(np.float32).reshape(60, 48)
    np.testing.assert_array_equal(encoder.encode(**batch | {"structure": unaligned}), expected)
    every_second = {name: np.repeat(array, 2, axis=0)[::2] for name, array in batch.items()}
    np.testing.assert_array_equal(encoder.encode(**every_second), expected)


def test_the_weights_may_go_once_the_encoder_is_open() -> None:
    encoder, batch = encoder_and_batch()
    expected = encoder.encode(**batch)
    gc.collect()
    junk = [np.full((500, 500), 7, np.float32) for _ in range(5)]
    np.testing.assert_array_equal(encoder.encode(**batch), expected)
    del junk, encoder
    gc.collect()


@pytest.mark.parametrize("name", ["db15k_like", "mkgw_like", "inner_score"])
def test_golden_checkpoints_give_the_official_table_and_that_of_torch_in_float64(
    name: str, instruction_set: str
) -> None:
    import torch

    from mmkg_sdk.families.mygo.graphs import graph_modules

    case = golden_case(name)
    model = case.model().eval()
    module = graph_modules(model, torch.float32)["entity_encoder_token_table"]
    weights = {key: tensor.numpy() for key, tensor in module.state_dict().items()}
    encoder = TokenTableEncoder(weights, model.config.visual_codebook_rows, instruction_set=instruction_set)
    structure = model.ent_embeddings.detach()[:, 0].numpy()
    found = encoder.encode(structure, *(model.get_buffer(key).numpy() for key in token_inputs(model.config.modalities)))
    with torch.no_grad():
        wide = model.double().entity_table()[:-1].numpy()
    np.testing.assert_allclose(found, wide, rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(found, case.outputs["ent_emb"][:-1], rtol=0, atol=TOLERANCE)


def test_a_bundle_gives_the_vectors_of_its_exported_graph(golden_bundle: Path, instruction_set: str) -> None:
    with mmkg_sdk.load(golden_bundle, "onnxruntime", "cpu") as model:
        weights, rows = graph_weights(golden_bundle), model.bundle.config.visual_codebook_rows
        encoder = TokenTableEncoder(weights, rows, instruction_set=instruction_set)
        ragged = entity_batch(model.bundle, visual_tokens=[[1, 2, 3], [], [0]], text_tokens=[[4], [], []])
        for batch in (bundle_entities(model.bundle), ragged):
            graph = model.encode_batch(batch, "entity_encoder_token_table")["vectors"]
            np.testing.assert_allclose(encoder.encode(**batch.arrays), graph, rtol=0, atol=TOLERANCE)


def graph_weights(bundle: Path) -> Arrays:
    from safetensors.numpy import load_file

    prefix = "entity_encoder_token_table."
    weights = load_file(bundle / "weights.safetensors")
    return {name.removeprefix(prefix): array for name, array in weights.items() if name.startswith(prefix)}


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("structure", lambda a: a.astype(np.float64), r"structure: float64 \[60, 48\]; expected float32"),
        ("structure", lambda a: a[:, :-1], r"structure: float32 \[60, 47\]; expected float32 \[60, 48\]"),
        ("structure", lambda a: a[:-1], r"visual_tokens: int64 \[60, 5\]; expected int64 \[59, 5\]"),
        ("visual_tokens", lambda a: a.astype(np.int32), "visual_tokens: int32"),
        ("visual_tokens", lambda a: a[0], r"visual_tokens: int64 \[5\]; expected int64 \[60, 0\]"),
        ("visual_mask", lambda a: a[:, :-1], r"visual_mask: bool \[60, 4\]; expected bool \[60, 5\]"),
        ("text_mask", lambda a: a.astype(np.uint8), "text_mask: uint8"),
        ("text_tokens", lambda a: changed(a, (31, 2), 11), "entity 31: a token is no row of its codebook"),
        ("text_tokens", lambda a: changed(a, (0, 0), -1), "entity 0: a token is no row of its codebook"),
        ("visual_tokens", lambda a: changed(a, (59, 4), 7), "entity 59: a token is no row of its codebook"),
        ("visual_tokens", lambda a: changed(a, (5, 1), 2**63 - 1), "entity 5: a token is no row of its codebook"),
        ("structure", lambda a: changed(a, (7, 47), np.nan), "entity 7: its structure holds NaN, infinity"),
        ("structure", lambda a: changed(a, (8, 0), np.inf), "entity 8: its structure holds NaN, infinity"),
        ("structure", lambda a: changed(a, (9, 0), -3e38), "entity 9: its structure holds .* too large for float32"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(
    name: str, change: Callable[[np.ndarray], np.ndarray], message: str, instruction_set: str
) -> None:
    rng = np.random.default_rng(9)
    encoder = TokenTableEncoder(random_weights(rng, 48, 4, 9, *ROWS), ROWS[0], 3, instruction_set=instruction_set)
    batch = random_batch(rng, 60, 48, (ROWS[0], 5), (ROWS[1], 4))
    with pytest.raises(BackendError, match=message):
        encoder.encode(**batch | {name: change(batch[name])})
    assert np.isfinite(encoder.encode(**batch)).all()


def test_a_masked_token_must_be_a_row_as_well() -> None:
    encoder, batch = encoder_and_batch()
    batch["text_mask"][:] = True
    with pytest.raises(BackendError, match="entity 3: a token is no row"):
        encoder.encode(**batch | {"text_tokens": changed(batch["text_tokens"], (3, 0), 11)})


@pytest.mark.parametrize("name", sorted(random_weights(np.random.default_rng(0), 4, 2, 3, 2, 2)))
def test_a_weight_that_is_not_finite_or_misshapen_or_missing_is_named(name: str) -> None:
    weights = random_weights(np.random.default_rng(0), 4, 2, 3, 2, 2)
    if name == "head_of_column":  # the graph's alone
        del weights[name]
        TokenTableEncoder(weights, 2)
        return
    for wrong in (np.nan, np.inf):
        broken = weights | {name: changed(weights[name], np.unravel_index(1, weights[name].shape), wrong)}
        with pytest.raises(BackendError, match=r"weights: \w+ holds NaN or infinity at 1"):
            TokenTableEncoder(broken, 2)
    with pytest.raises(BackendError, match="float64"):
        TokenTableEncoder(weights | {name: weights[name].astype(np.float64)}, 2)
    with pytest.raises(BackendError, match=r"expected float32|no multiple of heads"):
        TokenTableEncoder(weights | {name: np.repeat(weights[name], 3, axis=0)}, 2)
    del weights[name]
    with pytest.raises(BackendError, match=rf"missing \['{name}'\]"):
        TokenTableEncoder(weights, 2)


def test_options_that_there_are_not_are_refused() -> None:
    weights = random_weights(np.random.default_rng(0), 4, 2, 3, 2, 2)
    with pytest.raises(BackendError, match="storage is 'int4'; expected one of"):
        TokenTableEncoder(weights, 2, storage="int4")  # type: ignore[arg-type]
    with pytest.raises(BackendError, match="visual_rows is 5, the tables have 4 rows"):
        TokenTableEncoder(weights, 5)
    with pytest.raises(BackendError, match="instruction set 'mmx' is not available"):
        TokenTableEncoder(weights, 2, instruction_set="mmx")
    with pytest.raises(BackendError, match=r"unknown \['surprise'\]"):
        TokenTableEncoder(weights | {"surprise": np.ones(3, np.float32)}, 2)


def test_weights_beyond_float32_are_an_error_and_no_vector(instruction_set: str) -> None:
    rng = np.random.default_rng(10)
    weights = random_weights(rng, 8, 2, 9, *ROWS)
    for name in ("rest.output.multiplied_weight", "rest.feedforward.multiplied_weight", "multiplied_values"):
        huge = weights | {name: weights[name] * np.float32(1e38)}
        encoder = TokenTableEncoder(huge, ROWS[0], 2, instruction_set=instruction_set)
        with pytest.raises(BackendError, match="gave NaN or infinity: float32 cannot hold"):
            encoder.encode(**random_batch(rng, 30, 8, (ROWS[0], 5), (ROWS[1], 4)))


def test_a_hidden_unit_that_is_nan_is_no_zero(instruction_set: str) -> None:
    rng = np.random.default_rng(13)
    weights = random_weights(rng, 8, 2, 1, *ROWS)
    weights["rest.norm1.weight"] *= np.float32(1e3)
    weights["rest.hidden.multiplied_weight"] *= np.float32(1e38)  # infinity less infinity
    encoder = TokenTableEncoder(weights, ROWS[0], 2, instruction_set=instruction_set)
    with pytest.raises(BackendError, match="gave NaN or infinity: float32 cannot hold"):
        encoder.encode(**random_batch(rng, 1, 8, (ROWS[0], 5), (ROWS[1], 4)))


def test_calls_from_several_threads_at_once_give_the_vectors_of_one() -> None:
    encoder, batch = encoder_and_batch(11, 300)
    expected = encoder.encode(**batch)
    with ThreadPoolExecutor(6) as callers:
        for found in callers.map(lambda _: encoder.encode(**batch), range(60)):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_forked_child_goes_on_encoding() -> None:
    encoder, batch = encoder_and_batch(12, 100)
    expected = encoder.encode(**batch)  # the threads are there before the fork
    fork = multiprocessing.get_context("fork")
    answers = fork.SimpleQueue()
    child = fork.Process(target=lambda: answers.put(encoder.encode(**batch)))
    child.start()
    child.join(30)
    assert child.exitcode == 0
    np.testing.assert_array_equal(answers.get(), expected)


def changed(array: np.ndarray, place: tuple[int, ...], value: float) -> np.ndarray:
    out = array.copy()
    out[place] = value
    return out
