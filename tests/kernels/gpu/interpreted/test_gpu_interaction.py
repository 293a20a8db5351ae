"""GpuInteraction against the formula in float64: the launcher in C and the kernels' sources, with no GPU behind them.

The interpreter's products are numpy's in float32: what TF32 and the tensor cores round is not seen here.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import numpy as np
import pytest
import torch

from mmkg_sdk.errors import BackendError
from mmkg_sdk.kernels import LateInteraction
from mmkg_sdk.kernels.cuda.triton.link.interaction import interaction_keys
from mmkg_sdk.kernels.gpu.interaction import GpuInteraction
from mmkg_sdk.kernels.gpu.library import gpu_library
from mmkg_sdk.kernels.interaction_parts import EntityPieces, MentionPieces

from ...references.interaction import Arrays, Sizes, random_pieces, random_weights, scores
from ..fake_driver.driver import OUT_OF_MEMORY
from .conftest import FakeGpu

# Of the root mean square of a unit's scores: some roundings of 6e-8 each, as for the CPU (test_interaction.py).
TOLERANCE = 4e-6
SMALL = Sizes(3, 5, 4, 6, 5)


def made(
    seed: int, mentions: int, entities: int, sizes: Sizes, stored: str = "float16"
) -> tuple[Arrays, Arrays, Arrays]:
    rng = np.random.default_rng(seed)
    known = {name: piece.astype(stored) for name, piece in random_pieces(rng, sizes.entity, entities).items()}
    return random_weights(rng, sizes), random_pieces(rng, sizes.mention, mentions), known


def found_scores(
    weights: Arrays, mentions: Arrays, entities: Arrays, sizes: Sizes, candidates: np.ndarray | None = None
) -> np.ndarray:
    interaction = GpuInteraction(weights, sizes.entity, entities["entity_cls"].dtype.name)
    return interaction.scores(mentions, interaction.place(entities), candidates)


def close(found: np.ndarray, weights: Arrays, mentions: Arrays, entities: Arrays) -> None:
    expected = scores(weights, mentions, {name: piece.astype(np.float32) for name, piece in entities.items()})
    assert found.shape == expected.shape
    for one, other in zip(found, expected, strict=True):
        limit = TOLERANCE * max(1.0, float(np.sqrt(np.mean(other**2))))
        np.testing.assert_allclose(one, other, rtol=0, atol=limit)


@pytest.mark.parametrize("stored", ["float16", "float32"])
@pytest.mark.parametrize(
    "sizes",
    [
        Sizes(1, 1, 1, 4, 1),
        Sizes(7, 15, 17, 9, 7),
        Sizes(32, 32, 33, 31, 33),
        Sizes(40, 96, 130, 96, 70),
        Sizes(64, 17, 8, 8, 8),
        Sizes(65, 12, 20, 12, 12),
        Sizes(128, 5, 6, 5, 5),
    ],
    ids=lambda sizes: f"{sizes.length}-{sizes.text_unit}",
)
def test_scores_are_those_of_the_formula_at_every_size(fake: FakeGpu, sizes: Sizes, stored: str) -> None:
    arrays = made(sizes.length, 2, 3, sizes, stored)
    close(found_scores(*arrays, sizes), *arrays)
    kernel = f"interaction_text_{'half' if stored == 'float16' else 'single'}_{64 if sizes.length <= 64 else 128}"
    assert kernel in fake.launches.launched


@pytest.mark.parametrize(("mentions", "entities"), [(1, 1), (2, 15), (1, 17), (3, 31), (1, 33), (17, 2)])
def test_scores_are_those_of_the_formula_for_any_number_of_both(fake: FakeGpu, mentions: int, entities: int) -> None:
    arrays = made(mentions, mentions, entities, SMALL)
    close(found_scores(*arrays, SMALL), *arrays)


def test_scores_are_those_of_the_cpu(fake: FakeGpu) -> None:
    sizes = Sizes(9, 13, 21, 11, 10)
    weights, mentions, entities = made(2, 3, 20, sizes)
    expected = LateInteraction(weights, sizes.entity, "float16", "float32", 1).scores(mentions, entities)
    np.testing.assert_allclose(found_scores(weights, mentions, entities, sizes), expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("chosen", [[19], [5, 3, 3, 18, 0], list(range(19, -1, -1))])
def test_candidates_are_rows_in_any_order(fake: FakeGpu, chosen: list[int]) -> None:
    arrays = made(3, 2, 20, SMALL)
    everything = found_scores(*arrays, SMALL)
    found = found_scores(*arrays, SMALL, np.array(chosen))
    # Not to the bit: a row of numpy's product depends on where it stands.
    np.testing.assert_allclose(found, everything[:, :, chosen], rtol=0, atol=2e-5)


def test_no_mentions_or_entities_have_no_scores(fake: FakeGpu) -> None:
    weights, mentions, entities = made(5, 2, 3, SMALL)
    nobody, nothing = ({name: piece[:0] for name, piece in side.items()} for side in (mentions, entities))
    assert found_scores(weights, nobody, entities, SMALL).shape == (3, 0, 3)
    assert found_scores(weights, mentions, nothing, SMALL).shape == (3, 2, 0)
    assert found_scores(weights, mentions, entities, SMALL, np.zeros(0, np.int64)).shape == (3, 2, 0)


@pytest.mark.parametrize("factor", [0.0, 1e-42, 1e-30, 1e-6, 1e6])
def test_keys_of_any_magnitude_keep_their_digits(fake: FakeGpu, factor: float) -> None:
    weights, mentions, entities = made(4, 2, 3, SMALL)
    mentions["mention_keys"] *= np.float32(factor)
    entities["entity_queries"] *= np.float16(min(1.0, 3.0 / max(factor, 1e-9)))
    close(found_scores(weights, mentions, entities, SMALL), weights, mentions, entities)


def test_a_key_is_the_sum_of_two_halves_to_a_part_in_eight_million() -> None:
    rng, sizes = np.random.default_rng(5), Sizes(33, 40)
    keys = torch.tensor(rng.standard_normal((2, sizes.length, sizes.text_unit)).astype(np.float32) * 300)
    high, low = (torch.full((2, 64, 64), torch.nan, dtype=torch.float16) for _ in range(2))
    units = torch.zeros(2)
    interaction_keys[(2,)](keys, high, low, units, sizes.length, sizes.text_unit, LENGTH=64, HALF=True)
    exponents = np.log2(units.numpy() / np.log2(np.e))
    np.testing.assert_allclose(exponents, np.round(exponents), rtol=0, atol=1e-6)
    sums = (high.double() + low.double()).numpy() * 2.0 ** np.round(exponents)[:, None, None]
    most = np.abs(keys.numpy()).max(axis=(1, 2), keepdims=True)
    assert (np.abs(sums[:, : sizes.length, : sizes.text_unit] - keys.numpy()) <= 2**-23 * most).all()
    assert not sums[:, sizes.length :].any()
    assert not sums[:, :, sizes.text_unit :].any()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", [*SMALL.mention, *SMALL.entity])
def test_a_piece_that_is_not_finite_is_an_error_and_no_score(fake: FakeGpu, name: str, wrong: float) -> None:
    weights, mentions, entities = made(11, 1, 2, SMALL)
    side = mentions if name in mentions else entities
    side[name][(-1, *(size // 2 for size in side[name].shape[1:]))] = wrong
    with pytest.raises(BackendError, match="gave NaN or infinity"):
        found_scores(weights, mentions, entities, SMALL)


def test_a_launch_can_be_captured_and_says_what_is_wrong(fake: FakeGpu) -> None:
    weights, mentions, entities = made(6, 2, 3, SMALL)
    interaction = GpuInteraction(weights, SMALL.entity, "float16")
    placed = interaction.place(entities)
    stream, gpu = fake.gpu.stream(), fake.gpu
    asked = {name: gpu.array(piece, stream) for name, piece in mentions.items()}
    units = [gpu.array(np.full((2, 3), np.nan, np.float32), stream) for _ in range(3)]
    wrong = gpu.array(np.full(1, -1, np.int32), stream)
    arguments = (
        interaction._handle,
        ctypes.byref(MentionPieces(**{name.removeprefix("mention_"): a.pointer for name, a in asked.items()})),
        2,
        ctypes.byref(EntityPieces(**{name.removeprefix("entity_"): a.pointer for name, a in placed.items()})),
        *(3, 0, 0, *(unit.pointer for unit in units), wrong.pointer, stream.handle),
    )
    with stream.capture() as graph:
        assert gpu_library().mmkg_gpu_interaction_launch(*arguments) == 0
    for broken in (False, True):
        graph.launch(stream)
        assert wrong.numpy(stream)[0] == broken
        if not broken:
            close(np.stack([unit.numpy(stream) for unit in units]), weights, mentions, entities)
        text = gpu.array(np.full_like(mentions["mention_text"], np.nan), stream)
        gpu_library().mmkg_gpu_copy(gpu.handle, asked["mention_text"].pointer, text.pointer, text.nbytes, stream.handle)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("mention_keys", lambda a: a.astype(np.float64), r"mention_keys: float64 .* expected float32"),
        ("mention_text", lambda a: a[:-1], r"mention_text: float32 \[1, 4\]; expected float32 \[2, 4\]"),
        ("entity_cls", lambda a: a.astype(np.float32), r"entity_cls: float32 .* expected float16"),
        ("entity_dual_key", lambda a: a[:, :2], r"entity_dual_key: float16 \[3, 2, 6\]"),
    ],
)
def test_pieces_that_do_not_fit_are_refused(
    fake: FakeGpu, name: str, change: Callable[[np.ndarray], np.ndarray], message: str
) -> None:
    weights, mentions, entities = made(10, 2, 3, SMALL)
    interaction = GpuInteraction(weights, SMALL.entity, "float16")
    with pytest.raises(BackendError, match=message):
        interaction.scores(
            {key: change(piece) if key == name else piece for key, piece in mentions.items()},
            interaction.place({key: change(piece) if key == name else piece for key, piece in entities.items()}),
        )


def test_what_there_is_not_is_refused(fake: FakeGpu) -> None:
    weights, mentions, entities = made(13, 2, 3, SMALL)
    interaction = GpuInteraction(weights, SMALL.entity, "float16")
    placed = interaction.place(entities)
    for wrong in ([3], [-1], [0, 2**40]):
        with pytest.raises(BackendError, match="candidates: one is no row of the entities"):
            interaction.scores(mentions, placed, np.array(wrong))
    with pytest.raises(BackendError, match=r"candidates: int32 \[1\]; expected int64"):
        interaction.scores(mentions, placed, np.zeros(1, np.int32))  # type: ignore[arg-type]
    with pytest.raises(BackendError, match="entity_queries is on the host; expected it on the GPU"):
        interaction.scores(mentions, entities)  # type: ignore[arg-type]
    long = Sizes(129, 1, 1, 1, 1)
    with pytest.raises(BackendError, match="length is 129; the GPU has kernels for up to 128"):
        GpuInteraction(random_weights(np.random.default_rng(0), long), long.entity)
    with pytest.raises(BackendError, match="one holds NaN or infinity"):
        GpuInteraction(weights | {"by_entity.scale": np.full_like(weights["by_entity.scale"], np.inf)}, SMALL.entity)
    fake.driver.fail("cuMemAllocFromPoolAsync", OUT_OF_MEMORY)
    with pytest.raises(BackendError, match="OUT_OF_MEMORY"):
        interaction.scores(mentions, placed)
