"""The compiled late interaction against the formula in float64, the exported modules and itself."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mmkg_sdk import BackendError
from mmkg_sdk.kernels import LateInteraction, instruction_sets
from tests.families.mimic.cases import CASES, SIDES, golden, ranks

from .references.interaction import Arrays, Sizes, image_roundings, random_pieces, random_weights, scores

Logits = Literal["float32", "int16"]

# Of the root mean square of a unit's scores: some roundings of 6e-8 each; and 16 bits of the largest query and key.
TOLERANCE: dict[str, float] = {"float32": 4e-6, "int16": 1e-4}
# The image unit's are as large as its parts make them; of 600,000 random pairs none moved by more than 1.2 of each.
ROUNDINGS = 3 * 2.0**-24
# The others stand for one of these here.
SETS = [name for name in instruction_sets() if name not in ("avx2_vnni", "avx512", "avx512_bf16")]
LOGITS: list[Logits] = ["float32", "int16"]
# Every remainder of eights, of tiles of 5 keys and 5 vectors, of pairs and panels; one entity of many eights.
SIZES = [
    Sizes(1, 1, 1, 4, 1),
    Sizes(2, 2, 3, 5, 2),
    Sizes(5, 7, 8, 9, 16),
    Sizes(7, 15, 17, 8, 7),
    Sizes(8, 16, 31, 7, 8),
    Sizes(9, 17, 33, 31, 33),
    Sizes(16, 31, 16, 16, 5),
    Sizes(17, 33, 40, 33, 17),
    Sizes(39, 40, 64, 24, 24),
    Sizes(40, 96, 512, 96, 96),
    Sizes(41, 8, 10, 6, 3),
    Sizes(77, 12, 20, 12, 12),
    Sizes(131, 5, 6, 5, 5),
]


@pytest.fixture(params=SETS or ["none"])
def instruction_set(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(params=LOGITS)
def logits(request: pytest.FixtureRequest) -> Logits:
    name: Logits = request.param
    return name


def made(
    seed: int = 0, mentions: int = 5, entities: int = 61, sizes: Sizes | None = None
) -> tuple[Arrays, Arrays, Arrays, Sizes]:
    rng, sizes = np.random.default_rng(seed), sizes or Sizes()
    weights = random_weights(rng, sizes)
    return weights, random_pieces(rng, sizes.mention, mentions), random_pieces(rng, sizes.entity, entities), sizes


class Formula:
    """The scores in float64, and how near float32 comes to each."""

    def __init__(self, weights: Arrays, mentions: Arrays, entities: Arrays) -> None:
        self.scores = scores(weights, mentions, entities)
        self.image_limits = ROUNDINGS * image_roundings(weights, mentions, entities)

    def agrees_with(self, found: np.ndarray, logits: str) -> None:
        """`found` may be of the first mentions and entities alone."""
        part = np.s_[: found.shape[1], : found.shape[2]]
        text, image, fused = (unit[part] for unit in self.scores)
        for one, other, kind in ((found[0], text, logits), (found[2], fused, "float32")):
            limit = TOLERANCE[kind] * max(1.0, float(np.sqrt(np.mean(other**2))))
            np.testing.assert_allclose(one, other, rtol=0, atol=limit)
        off = np.abs(found[1] - image) / self.image_limits[part]
        assert off.max() <= 1, f"an image score is {off.max():.3g} times as far off as its roundings reach"


@pytest.mark.parametrize("sizes", SIZES, ids=lambda s: f"{s.length}-{s.text_unit}")
def test_scores_are_those_of_the_formula_at_every_size(sizes: Sizes, instruction_set: str, logits: Logits) -> None:
    weights, mentions, entities, _ = made(sizes.length, 3, 11, sizes)
    found = LateInteraction(weights, sizes.entity, "float32", logits, 2, instruction_set).scores(mentions, entities)
    Formula(weights, mentions, entities).agrees_with(found, logits)


def test_scores_are_those_of_the_formula_for_any_number_of_both(instruction_set: str, logits: Logits) -> None:
    for length in (3, 12):  # ten and five of them side by side
        weights, mentions, entities, sizes = made(1, 33, 101, Sizes(length))
        formula = Formula(weights, mentions, entities)
        interaction = LateInteraction(weights, sizes.entity, "float32", logits, 3, instruction_set)
        for count in (1, 2, 15, 16, 17, 32, 33):
            for rows in (1, 2, 7, 8, 9, 47, 48, 49, 97, 101):
                if count > 2 and rows > 9:
                    continue
                asked = {name: piece[:count] for name, piece in mentions.items()}
                known = {name: piece[:rows] for name, piece in entities.items()}
                formula.agrees_with(interaction.scores(asked, known), logits)
        formula.agrees_with(interaction.scores(mentions, entities), logits)


def test_half_precision_entities_are_read_as_they_are(instruction_set: str, logits: Logits) -> None:
    weights, mentions, entities, sizes = made(2, sizes=Sizes(9, 13, 21, 11, 10))
    half = {name: piece.astype(np.float16) for name, piece in entities.items()}
    half["entity_text"][3, :4] = [6e-8, -6e-8, 65504, 6e-5]  # denormals, and the largest
    found = LateInteraction(weights, sizes.entity, "float16", logits, 2, instruction_set).scores(mentions, half)
    wide = {name: piece.astype(np.float32) for name, piece in half.items()}
    Formula(weights, mentions, wide).agrees_with(found, logits)
    same = LateInteraction(weights, sizes.entity, "float32", logits, 2, instruction_set).scores(mentions, wide)
    np.testing.assert_array_equal(found, same)


def test_int16_is_the_choice_for_half_precision_and_takes_less_away() -> None:
    weights, mentions, entities, sizes = made(3, 8, 200, Sizes(40, 96, 64, 16, 16))
    half = {name: piece.astype(np.float16) for name, piece in entities.items()}
    chosen = LateInteraction(weights, sizes.entity, "float16")
    assert (chosen.logits, LateInteraction(weights, sizes.entity).logits) == ("int16", "float32")
    few = {name: piece[:40] for name, piece in entities.items()}
    exact = scores(weights, mentions, few)[0]
    stored = scores(weights, mentions, {name: piece[:40].astype(np.float32) for name, piece in half.items()})[0]
    rounded = chosen.scores(mentions, half)[0, :, :40]
    assert np.abs(rounded - stored).max() < np.abs(stored - exact).max() / 5


def test_candidates_are_rows_in_any_order(instruction_set: str, logits: Logits) -> None:
    weights, mentions, entities, sizes = made(4, 17, 130)
    interaction = LateInteraction(weights, sizes.entity, "float32", logits, 2, instruction_set)
    everything = interaction.scores(mentions, entities)
    rng = np.random.default_rng(4)
    for chosen in ([0], [129], [5, 3, 3, 128, 0], rng.permutation(130), rng.integers(0, 130, 300)):
        ids = np.asarray(chosen, np.int64)
        np.testing.assert_array_equal(interaction.scores(mentions, entities, ids), everything[:, :, ids])
    assert interaction.scores(mentions, entities, np.zeros(0, np.int64)).shape == (3, 17, 0)


@pytest.mark.parametrize("image", [1, 2, 3])
def test_image_units_of_few_numbers(image: int, instruction_set: str) -> None:
    weights, mentions, entities, sizes = made(image, 4, 20, Sizes(image_unit=image))
    found = LateInteraction(weights, sizes.entity, instruction_set=instruction_set).scores(mentions, entities)
    # Few numbers may all be near 0, where the last norm makes 300 of every rounding.
    Formula(weights, mentions, entities).agrees_with(found, "float32")


def test_no_mentions_or_entities_have_no_scores(instruction_set: str) -> None:
    weights, mentions, entities, sizes = made(5)
    interaction = LateInteraction(weights, sizes.entity, instruction_set=instruction_set)
    nobody = {name: piece[:0] for name, piece in mentions.items()}
    nothing = {name: piece[:0] for name, piece in entities.items()}
    assert interaction.scores(nobody, entities).shape == (3, 0, 61)
    assert interaction.scores(mentions, nothing).shape == (3, 5, 0)


def test_a_pair_depends_on_nothing_else_to_the_bit(instruction_set: str, logits: Logits) -> None:
    for length in (3, 40):
        weights, mentions, entities, sizes = made(6, 19, 140, Sizes(length))
        expected = LateInteraction(weights, sizes.entity, "float32", logits, 1, instruction_set).scores(
            mentions, entities
        )
        for threads in (1, 2, 3, 7):
            interaction = LateInteraction(weights, sizes.entity, "float32", logits, threads, instruction_set)
            np.testing.assert_array_equal(interaction.scores(mentions, entities), expected)
            for row, first, last in ((0, 0, 1), (18, 139, 140), (7, 13, 14), (3, 60, 99)):
                asked = {name: piece[row : row + 1] for name, piece in mentions.items()}
                known = {name: piece[first:last] for name, piece in entities.items()}
                np.testing.assert_array_equal(interaction.scores(asked, known), expected[:, row : row + 1, first:last])


def test_logits_far_apart_leave_one_position(instruction_set: str) -> None:
    weights, mentions, entities, sizes = made(8)
    mentions["mention_keys"] *= np.float32(800)
    found = LateInteraction(weights, sizes.entity, instruction_set=instruction_set).scores(mentions, entities)
    # Logits of thousands have no more than four digits behind the point.
    np.testing.assert_allclose(found[0], scores(weights, mentions, entities)[0], rtol=0, atol=0.02)
    mentions["mention_keys"][:] = 0
    for logits in LOGITS:
        flat = LateInteraction(weights, sizes.entity, "float32", logits, 1, instruction_set).scores(mentions, entities)
        Formula(weights, mentions, entities).agrees_with(flat, logits)


def test_rows_that_cannot_be_rounded_any_smaller_are_zeros(instruction_set: str) -> None:
    weights, mentions, entities, sizes = made(9, 2, 9)
    entities["entity_queries"][:] = entities["entity_queries"][:, :1]  # nothing but their mean
    entities["entity_queries"][3:] *= np.float32(1e-38)
    interaction = LateInteraction(weights, sizes.entity, "float32", "int16", 1, instruction_set)
    Formula(weights, mentions, entities).agrees_with(interaction.scores(mentions, entities), "int16")
    mentions["mention_keys"] *= np.float32(1e-40)
    Formula(weights, mentions, entities).agrees_with(interaction.scores(mentions, entities), "int16")


@settings(deadline=None, max_examples=40)
@example(28, 15, 4, 28, 1113)  # z and q nearly cancel
@given(st.integers(1, 50), st.integers(1, 40), st.integers(4, 20), st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_any_sizes_give_the_scores_of_the_formula(length: int, width: int, image: int, rows: int, seed: int) -> None:
    sizes = Sizes(length, width, 1 + seed % 30, image, 1 + seed % 17)
    weights, mentions, entities, _ = made(seed, 1 + seed % 3, 1 + rows % 12, sizes)
    formula = Formula(weights, mentions, entities)
    for logits in LOGITS:
        interaction = LateInteraction(weights, sizes.entity, "float32", logits, 1)
        formula.agrees_with(interaction.scores(mentions, entities), logits)


@pytest.mark.parametrize("stored", ["float32", "float16"])
@pytest.mark.parametrize("name", CASES)
def test_golden_checkpoints_give_the_official_scores_and_those_of_the_module_in_float64(
    name: str, stored: str, instruction_set: str
) -> None:
    import torch

    from mmkg_sdk.families.mimic.graphs import graph_modules
    from mmkg_sdk.families.mimic.pieces import entity_pieces, mention_pieces

    case = golden(name)
    model = case.model()
    modules, config = graph_modules(model, torch.float32), model.config
    sides: dict[str, Arrays] = {}
    with torch.no_grad():
        for side, shapes in zip(SIDES, (mention_pieces(config), entity_pieces(config)), strict=True):
            encoded = case.encoded(side)
            tensors = (encoded.text, encoded.text_tokens, encoded.image, encoded.image_tokens)
            pieces = modules[f"{side}_side"](*(tensor.float() for tensor in tensors))
            sides[side] = dict(zip(shapes, (piece.numpy() for piece in pieces), strict=True))
    weights = {key: tensor.numpy() for key, tensor in modules["interaction"].state_dict().items()}
    known = {key: piece.astype(stored) for key, piece in sides["entity"].items()}
    interaction = LateInteraction(weights, entity_pieces(config), stored, instruction_set=instruction_set)
    found = interaction.scores(sides["mention"], known)
    wide = {key: piece.astype(np.float32) for key, piece in known.items()}
    Formula(weights, sides["mention"], wide).agrees_with(found, interaction.logits)
    if stored == "float32":
        for unit, official in zip(found, ("tglu", "vdlu", "cmfu"), strict=True):
            np.testing.assert_allclose(unit, case.outputs[f"{official}_score"], rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(ranks(found.mean(axis=0)), case.outputs["all_ranks"])


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("mention_keys", lambda a: a.astype(np.float64), r"mention_keys: float64 \[5, 6, 8\]; expected float32"),
        ("mention_text", lambda a: a[:-1], r"mention_text: float32 \[4, 12\]; expected float32 \[5, 12\]"),
        ("entity_queries", lambda a: a[:, :-1], r"entity_queries: float32 \[61, 5, 8\]; expected .*\[61, 6, 8\]"),
        ("entity_cls", lambda a: a.astype(np.float16), "entity_cls: float16"),
        ("entity_dual_key", lambda a: a[:, :2], r"entity_dual_key: float32 \[61, 2, 10\]"),
        ("entity_fused", lambda a: a[0], r"entity_fused: float32 \[9\]"),
    ],
)
def test_pieces_that_do_not_fit_are_refused(
    name: str, change: Callable[[np.ndarray], np.ndarray], message: str
) -> None:
    weights, mentions, entities, sizes = made(10)
    interaction = LateInteraction(weights, sizes.entity)
    with pytest.raises(BackendError, match=message):
        interaction.scores(
            {key: change(piece) if key == name else piece for key, piece in mentions.items()},
            {key: change(piece) if key == name else piece for key, piece in entities.items()},
        )
    del mentions["mention_fused"]
    with pytest.raises(BackendError, match="no mention_fused among"):
        interaction.scores(mentions, entities)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", [*Sizes().mention, *Sizes().entity])
def test_a_piece_that_is_not_finite_is_an_error_and_no_score(name: str, wrong: float, instruction_set: str) -> None:
    weights, mentions, entities, sizes = made(11)
    for piece in (mentions.get(name), entities.get(name)):
        if piece is not None:
            piece[(len(piece) - 1, *(size // 2 for size in piece.shape[1:]))] = wrong
    for logits in LOGITS:
        interaction = LateInteraction(weights, sizes.entity, "float32", logits, 2, instruction_set)
        with pytest.raises(BackendError, match="gave NaN or infinity"):
            interaction.scores(mentions, entities)
        sound = (
            {key: piece[:-1] for key, piece in mentions.items()},
            {key: piece[:-1] for key, piece in entities.items()},
        )
        assert np.isfinite(interaction.scores(*sound)).all()


def test_numbers_too_large_for_float32_are_an_error(instruction_set: str) -> None:
    for name in ("mention_keys", "entity_queries", "mention_values", "entity_text"):
        weights, mentions, entities, sizes = made(12)
        side = mentions if name in mentions else entities
        with np.errstate(over="ignore"):
            side[name] *= np.float32(1e38)
        for logits in LOGITS:
            interaction = LateInteraction(weights, sizes.entity, "float32", logits, 1, instruction_set)
            try:
                found = interaction.scores(mentions, entities)
            except BackendError as err:
                assert "gave NaN or infinity" in str(err)  # noqa: PT017
            else:
                assert np.isfinite(found).all()


def test_candidates_that_there_are_not_are_refused() -> None:
    weights, mentions, entities, sizes = made(13)
    interaction = LateInteraction(weights, sizes.entity)
    for wrong in ([61], [-1], [0, 2**40]):
        with pytest.raises(BackendError, match="candidates: one is no row of the entities"):
            interaction.scores(mentions, entities, np.array(wrong))
    with pytest.raises(BackendError, match=r"candidates: int32 \[1\]; expected int64"):
        interaction.scores(mentions, entities, np.zeros(1, np.int32))


def test_arrays_of_any_layout_give_the_same_scores() -> None:
    weights, mentions, entities, sizes = made(14)
    interaction = LateInteraction(weights, sizes.entity)
    expected = interaction.scores(mentions, entities)

    def unaligned(array: np.ndarray) -> np.ndarray:
        return np.frombuffer(b"\0" + array.tobytes(), np.uint8)[1:].view(np.float32).reshape(array.shape)

    for change in (np.asfortranarray, unaligned, lambda a: np.repeat(a, 2, axis=0)[::2]):
        sides = ({name: change(piece) for name, piece in side.items()} for side in (mentions, entities))
        np.testing.assert_array_equal(interaction.scores(*sides), expected)


@pytest.mark.parametrize("name", sorted(random_weights(np.random.default_rng(0), Sizes())))
def test_a_weight_that_is_misshapen_or_missing_is_named(name: str) -> None:
    weights, _, _, sizes = made(15)
    with pytest.raises(BackendError, match=rf"{name} is float64"):
        LateInteraction(weights | {name: weights[name].astype(np.float64)}, sizes.entity)
    with pytest.raises(BackendError, match=rf"{name} is missing"):
        LateInteraction({key: array for key, array in weights.items() if key != name}, sizes.entity)
    with pytest.raises(BackendError, match=r"holds NaN or infinity|is not finite"):
        LateInteraction(weights | {name: np.full_like(weights[name], np.nan)}, sizes.entity)


def test_options_that_there_are_not_are_refused() -> None:
    weights, _, _, sizes = made(16)
    for options, message in (
        ({"entity_dtype": "int32"}, "entity_dtype is 'int32'"),
        ({"logits": "int4"}, "logits is 'int4'; expected one of"),
        ({"instruction_set": "mmx"}, "instruction set 'mmx' is not available"),
    ):
        arguments: dict[str, Any] = options
        with pytest.raises(BackendError, match=message):
            LateInteraction(weights, sizes.entity, **arguments)
    with pytest.raises(BackendError, match=r"unknown \['surprise'\]"):
        LateInteraction(weights | {"surprise": np.ones(3, np.float32)}, sizes.entity)


def test_calls_from_several_threads_at_once_give_the_scores_of_one() -> None:
    weights, mentions, entities, sizes = made(17, 6, 150)
    interaction = LateInteraction(weights, sizes.entity, threads=3)
    expected = interaction.scores(mentions, entities)
    with ThreadPoolExecutor(6) as callers:
        for found in callers.map(lambda _: interaction.scores(mentions, entities), range(40)):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_forked_child_goes_on_scoring() -> None:
    weights, mentions, entities, sizes = made(18, 3, 100)
    interaction = LateInteraction(weights, sizes.entity, threads=2)
    expected = interaction.scores(mentions, entities)  # the threads are there before the fork
    fork = multiprocessing.get_context("fork")
    answers = fork.SimpleQueue()
    child = fork.Process(target=lambda: answers.put(interaction.scores(mentions, entities)))
    child.start()
    child.join(30)
    assert child.exitcode == 0
    np.testing.assert_array_equal(answers.get(), expected)
