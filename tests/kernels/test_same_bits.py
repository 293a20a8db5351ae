"""What kernels give is the same to the bit on every processor that multiplies and adds in one step, and for any number
of threads. Plain code for ARM64 does so; here the library is built once more with that instruction to stand for it.

Scores of a table are the same on every processor whatsoever: test_top_k.py.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

import mmkg_sdk
import mmkg_sdk.kernels
from mmkg_sdk.kernels import LateInteraction, QueryContext, TokenTableEncoder, TuckerCore, instruction_sets

from .references import encoder, interaction, query

Array = np.ndarray[Any, Any]
# Changes numbers, so that other digits, orders of magnitude or ties come up.
Change = Callable[[np.random.Generator, Array], Array]
# Instruction set, threads -> what a kernel gives.
Kernel = Callable[[str, int], list[Array]]

SOURCES = Path(mmkg_sdk.kernels.__file__).parent
# These multiply and add in one step; "portable" does where the build may use the instruction.
SETS = [name for name in instruction_sets() if name != "portable"]
THREADS = (1, 2, 3, 7)
# Width, heads, feed-forward width: one below, at and above vectors and panels, and primes.
SIZES = [(1, 1, 1), (15, 5, 17), (16, 1, 31), (17, 1, 33), (31, 1, 64), (32, 8, 32), (33, 3, 257), (65, 5, 127)]
# One, one below and above tiles of 4, 6 and 12 rows, and primes.
BATCHES = [1, 3, 5, 7, 11, 13, 23, 61]
LOGITS: tuple[Literal["int16", "float32"], ...] = ("int16", "float32")

CHANGES: dict[str, Change] = {
    "as they are drawn": lambda _, a: a,
    "whole numbers": lambda _, a: np.rint(2 * a),
    "denormal and tiny": lambda r, a: a * 10.0 ** r.integers(-42, -20, a.shape),
    "of every magnitude": lambda r, a: a * 10.0 ** r.integers(-25, 4, a.shape),
    "mostly zeros of both signs": lambda r, a: a * (r.random(a.shape) < 0.1),
}


def changed(rng: np.random.Generator, change: Change, arrays: dict[str, Array]) -> dict[str, Array]:
    return {n: change(rng, a).astype(np.float32) if a.dtype == np.float32 else a for n, a in arrays.items()}


def query_context(rng: np.random.Generator, change: Change, place: int) -> Kernel:
    width, heads, hidden = SIZES[place]
    weights = changed(rng, change, query.random_weights(rng, width, hidden, 2))
    inputs = changed(rng, change, {"table": rng.standard_normal((9, width), dtype=np.float32)})
    inputs |= query.random_questions(rng, BATCHES[place], 9)
    return lambda name, threads: list(QueryContext(weights, heads, threads, name).encode(**inputs))


def token_table(rng: np.random.Generator, change: Change, place: int) -> Kernel:
    width, heads, hidden = SIZES[place]
    weights = changed(rng, change, encoder.random_weights(rng, width, heads, hidden, 7, 11))
    inputs = changed(rng, change, encoder.random_batch(rng, BATCHES[place], width, (7, 1 + 2 * place), (11, 5)))
    storage: Any = ("bfloat16", "float32")[place % 2]
    return lambda name, threads: [
        TokenTableEncoder(weights, 7, threads, storage=storage, instruction_set=name).encode(**inputs)
    ]


def tucker_core(rng: np.random.Generator, change: Change, place: int) -> Kernel:
    width, batch = (1, 7, 15, 16, 17, 33, 64, 67)[place], BATCHES[place]
    shapes = {"core": (width, width**2), "map": (width, width), "shift": (width,)}
    shapes |= {"context": (batch, width), "relation": (batch, width)}
    drawn = changed(rng, change, {n: rng.standard_normal(s, dtype=np.float32) for n, s in shapes.items()})
    for weight in ("core", "map"):
        if place % 3 == 1:
            drawn[weight] = drawn[weight].astype(np.float16)
        elif place % 3 == 2:  # bfloat16
            drawn[weight] = (drawn[weight].view(np.uint32) >> 16).astype(np.uint16)
    return lambda name, threads: [
        TuckerCore(drawn["core"], drawn["map"], drawn["shift"], threads, name).apply(
            drawn["context"], drawn["relation"]
        )
    ]


def late_interaction(rng: np.random.Generator, change: Change, place: int) -> Kernel:
    length = (1, 5, 7, 8, 9, 16, 17, 41)[place]
    sizes = interaction.Sizes(length, 2 * length + 1, 33, 5 + place, 17)
    weights = changed(rng, change, interaction.random_weights(rng, sizes))
    mentions = changed(rng, change, interaction.random_pieces(rng, sizes.mention, 1 + place % 3))
    entities = changed(rng, change, interaction.random_pieces(rng, sizes.entity, BATCHES[place]))
    dtype, logits = ("float16", "float32")[place % 2], LOGITS[place // 2 % 2]
    known = {name: piece.astype(dtype) for name, piece in entities.items()}
    return lambda name, threads: [
        LateInteraction(weights, sizes.entity, dtype, logits, threads, name).scores(mentions, known)
    ]


KERNELS = {
    "query context": query_context,
    "token table": token_table,
    "tucker core": tucker_core,
    "late interaction": late_interaction,
}
every_kernel = pytest.mark.parametrize("kernel", KERNELS)
every_change = pytest.mark.parametrize("change", CHANGES)


def kernels(kernel: str, change: str) -> list[Kernel]:
    rng = np.random.default_rng(0)
    return [KERNELS[kernel](rng, CHANGES[change], place) for place in range(len(SIZES))]


def assert_same_bits(found: list[Array], expected: list[Array]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert np.isfinite(one).all()
        np.testing.assert_array_equal(one.view(np.int32), other.view(np.int32))


@every_change
@every_kernel
def test_every_instruction_set_and_number_of_threads_gives_the_same_bits(kernel: str, change: str) -> None:
    for run in kernels(kernel, change):
        for name in SETS or ["portable"]:
            expected = run((SETS or ["portable"])[0], 1)
            for threads in THREADS:
                assert_same_bits(run(name, threads), expected)


def test_a_model_gives_the_same_answers_on_every_instruction_set(
    golden_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for name in SETS:
        monkeypatch.setenv("MMKG_INSTRUCTION_SET", name)
        with mmkg_sdk.Model.load(golden_bundle, device="cpu") as model:
            entities = list(range(len(model.entities)))
            answers = model.predict_tails(entities, 0, len(entities), filter_known=False)
            found.append([np.array([answer.to_json() for answer in answers], dtype=object)])
    assert all((one[0] == found[0][0]).all() for one in found[1:])


@pytest.fixture(scope="module")
def build_with_fma(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library, whose plain code multiplies and adds in one step, as a build for ARM64 does."""
    compiler = shutil.which("c++")
    if compiler is None or "avx2" not in SETS:
        pytest.skip("no C++ compiler, or no AVX2 to compare with")
    folder = tmp_path_factory.mktemp("fma")
    flags = ["-std=c++17", "-O1", "-fPIC", "-fvisibility=hidden", "-ffp-contract=off", "-fno-math-errno", "-mfma"]
    flags += [f"-I{SOURCES / part}" for part in ("include", "cpu")]
    sources = sorted((SOURCES / "cpu").rglob("*.cpp"))

    def compile_one(source: Path) -> None:
        subprocess.run([compiler, *flags, "-c", str(source)], cwd=folder, check=True)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(compile_one, sources))
    objects = [f"{source.stem}.o" for source in sources]
    subprocess.run([compiler, "-shared", "-pthread", *objects, "-o", "libmmkg.so"], cwd=folder, check=True)
    return folder / "libmmkg.so"


def test_plain_code_with_the_instruction_gives_the_same_bits(
    build_with_fma: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = import_module("mmkg_sdk.kernels.library")
    cases = [run for kernel in KERNELS for change in CHANGES for run in kernels(kernel, change)]
    expected = [run("avx2", 1) for run in cases]
    monkeypatch.setattr(library, "_FILE", build_with_fma)
    for cached in (library.library, library._pool):
        cached.cache_clear()
    try:
        for run, bits in zip(cases, expected, strict=True):
            assert_same_bits(run("portable", 2), bits)
    finally:
        monkeypatch.undo()
        for cached in (library.library, library._pool):
            cached.cache_clear()
