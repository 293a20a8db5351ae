"""The compiled rotation against complex numbers in float64, the same roundings in numpy, and hostile arguments."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from mmkg_sdk import BackendError
from mmkg_sdk.kernels import Rotations, instruction_sets
from mmkg_sdk.kernels.library import loaded_library

from .references.encoder import Arrays
from .references.query import random_questions

pytestmark = pytest.mark.skipif(not instruction_sets(), reason="the compiled kernels are absent")

ENTITIES, RELATIONS = 19, 5
WIDTHS = [2, 4, 6, 14, 16, 18, 30, 32, 34, 66, 126, 128, 500, 1024]


def rotations_and_questions(seed: int, width: int, size: int = 60) -> tuple[np.ndarray, Arrays]:
    rng = np.random.default_rng(seed)
    phases = rng.uniform(-4, 4, (RELATIONS, width // 2))
    table = rng.standard_normal((ENTITIES, width)).astype(np.float32)
    rotations = np.concatenate([np.cos(phases), np.sin(phases)], axis=1).astype(np.float32)
    return rotations, {"table": table, **random_questions(rng, size, ENTITIES, RELATIONS)}


def in_float32(rotations: np.ndarray, inputs: Arrays) -> np.ndarray:
    """Each product and each sum rounded once, as numpy rounds them."""
    real, imaginary = np.split(inputs["table"][inputs["entity"]], 2, axis=1)
    cosine, sine = np.split(rotations[inputs["relation"]], 2, axis=1)
    sine = np.where(inputs["direction"][:, None] == 1, -sine, sine)
    return np.concatenate([real * cosine - imaginary * sine, real * sine + imaginary * cosine], axis=1)


@pytest.mark.parametrize("width", WIDTHS)
def test_it_gives_the_complex_product_and_the_bits_of_single_roundings(width: int) -> None:
    rotations, inputs = rotations_and_questions(width, width)
    found = Rotations(rotations).apply(**inputs)
    half = width // 2
    table, turns = (array.astype(np.float64) for array in (inputs["table"], rotations))
    numbers = (table[:, :half] + 1j * table[:, half:])[inputs["entity"]]
    turned = (turns[:, :half] + 1j * turns[:, half:])[inputs["relation"]]
    exact = numbers * np.where(inputs["direction"][:, None] == 1, turned.conj(), turned)
    np.testing.assert_allclose(found, np.concatenate([exact.real, exact.imag], axis=1), rtol=0, atol=1e-6)
    np.testing.assert_array_equal(found.view(np.int32), in_float32(rotations, inputs).view(np.int32))


def test_tiny_numbers_are_not_flushed() -> None:
    rotations, inputs = rotations_and_questions(1, 32)
    inputs["table"] *= np.float32(1e-41)
    found = Rotations(rotations).apply(**inputs)
    assert (found != 0).any()
    np.testing.assert_array_equal(found.view(np.int32), in_float32(rotations, inputs).view(np.int32))


def test_a_query_gives_the_same_alone_and_in_any_batch() -> None:
    rotations, inputs = rotations_and_questions(2, 34)
    kernel, ids = Rotations(rotations), ("entity", "relation", "direction")
    expected = kernel.apply(**inputs)
    for start, end in ((0, 1), (7, 20), (59, 60), (4, 4)):
        part = kernel.apply(inputs["table"], *(inputs[name][start:end] for name in ids))
        np.testing.assert_array_equal(part, expected[start:end])


def test_arrays_of_any_layout_give_the_same_numbers() -> None:
    rotations, inputs = rotations_and_questions(3, 34)
    expected = Rotations(rotations).apply(**inputs)
    table = inputs["table"]
    unaligned = np.frombuffer(b"\0" + table.tobytes(), np.uint8)[1:].view(np.float32).reshape(table.shape)
    for same in (np.asfortranarray(table), unaligned, np.repeat(table, 2, axis=0)[::2]):
        found = Rotations(np.asfortranarray(rotations)).apply(**inputs | {"table": same})
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("place", [0, 59])
@pytest.mark.parametrize("name", ["entity", "relation", "direction"])
def test_an_id_out_of_range_is_named(name: str, place: int) -> None:
    rotations, inputs = rotations_and_questions(4, 8)
    last = {"entity": ENTITIES, "relation": RELATIONS, "direction": 2}[name] - 1
    for wrong in (-1, last + 1, 2**63 - 1, -(2**63)):
        ids = inputs[name].copy()
        ids[place] = wrong
        with pytest.raises(BackendError, match=rf"question {place}: {name} {wrong} is not from 0 to {last}"):
            Rotations(rotations).apply(**inputs | {name: ids})


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 3e38])
def test_what_float32_cannot_hold_is_an_error_of_those_who_ask_for_it(wrong: float) -> None:
    rotations, inputs = rotations_and_questions(5, 8)
    table = inputs["table"].copy()
    table[7] = wrong
    big = rotations * np.float32(3)
    with pytest.raises(BackendError, match="gave NaN or infinity"):
        Rotations(big).apply(**inputs | {"table": table, "entity": np.full(60, 7)})
    others = inputs | {"entity": np.zeros(60, np.int64)}
    np.testing.assert_array_equal(Rotations(big).apply(**others | {"table": table}), Rotations(big).apply(**others))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("entity", np.zeros(60, np.int32), r"entity: int32 \[60\]; expected int64 \[60\]"),
        ("relation", np.zeros(59, np.int64), r"relation: int64 \[59\]; expected int64 \[60\]"),
        ("direction", np.zeros(60, bool), "direction: bool"),
        ("table", np.zeros((9, 8)), r"table: float64 \[9, 8\]; expected float32 \[entities, 8\]"),
        ("table", np.zeros((9, 6), np.float32), r"table: float32 \[9, 6\]"),
        ("table", np.zeros((0, 8), np.float32), "rows are not from 1"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(name: str, value: np.ndarray, message: str) -> None:
    rotations, inputs = rotations_and_questions(6, 8)
    with pytest.raises(BackendError, match=message):
        Rotations(rotations).apply(**inputs | {name: value})


@pytest.mark.parametrize("shape", [(8,), (5, 7), (0, 8), (5, 0), (5, 8, 1)])
def test_rotations_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(BackendError, match=r"rotations: float32 .*; expected float32 \[relations, width\]"):
        Rotations(np.zeros(shape, np.float32))
    with pytest.raises(BackendError, match="rotations: float16"):
        Rotations(np.zeros((5, 8), np.float16))  # type: ignore[arg-type]


def test_null_pointers_and_sizes_out_of_range_are_refused_by_the_c_function() -> None:
    rotations, inputs = rotations_and_questions(7, 8, 1)
    out = np.empty(8, np.float32)
    good = {
        "table": inputs["table"].ctypes.data,
        "rows": ENTITIES,
        "width": 8,
        "rotations": rotations.ctypes.data,
        "relations": RELATIONS,
        **{name: inputs[name].ctypes.data for name in ("entity", "relation", "direction")},
        "batch": 1,
        "queries": out.ctypes.data,
    }
    apply = loaded_library().mmkg_rotation_apply
    assert apply(*good.values()) == 0
    pointers = [name for name, value in good.items() if value > 1000]
    wrong = [*((name, None) for name in pointers), ("rows", 0), ("rows", 2**31), ("width", 7), ("width", 0)]
    wrong += [("width", 2**20 + 2), ("relations", 0), ("relations", -1), ("batch", -1), ("batch", 2**31)]
    for name, value in wrong:
        assert apply(*(good | {name: value}).values()) == 1, name
        assert name.encode() in ctypes.cast(loaded_library().mmkg_last_error(), ctypes.c_char_p).value
    assert apply(*(good | {"batch": 0, "queries": None}).values()) == 0


def test_calls_from_several_threads_at_once_give_the_numbers_of_one() -> None:
    rotations, inputs = rotations_and_questions(8, 128, 300)
    kernel = Rotations(rotations)
    expected = kernel.apply(**inputs)
    with ThreadPoolExecutor(6) as callers:
        for found in callers.map(lambda _: kernel.apply(**inputs), range(60)):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_forked_child_goes_on_rotating() -> None:
    rotations, inputs = rotations_and_questions(9, 16)
    kernel = Rotations(rotations)
    fork = multiprocessing.get_context("fork")
    answers = fork.SimpleQueue()
    child = fork.Process(target=lambda: answers.put(kernel.apply(**inputs)))
    child.start()
    child.join(30)
    assert child.exitcode == 0
    np.testing.assert_array_equal(answers.get(), in_float32(rotations, inputs))
