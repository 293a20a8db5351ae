"""The CUDA kernels of the late interaction, run by Triton's interpreter on a CPU, against the formula in float64.

The interpreter's products are numpy's in float32: what TF32 and the tensor cores round, it does not show.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch

from mmkg_sdk.kernels.cuda.triton.interaction import (
    ENTITIES,
    TILE_ENTITIES,
    TILE_MENTIONS,
    interaction_image,
    interaction_keys,
    interaction_text,
)

from ...references.interaction import Arrays, Sizes, random_pieces, random_weights, scores

# Of the root mean square of a unit's scores: some roundings of 6e-8 each, as for the CPU (test_interaction.py).
TOLERANCE = 4e-6
EPSILON = 1e-5


def made(seed: int, mentions: int, entities: int, sizes: Sizes) -> tuple[Arrays, Arrays, Arrays]:
    rng = np.random.default_rng(seed)
    pieces = random_pieces(rng, sizes.mention, mentions), random_pieces(rng, sizes.entity, entities)
    return random_weights(rng, sizes), *pieces


def half(entities: Arrays) -> Arrays:
    return {name: piece.astype(np.float16) for name, piece in entities.items()}


def launched(
    weights: Arrays, mentions: Arrays, entities: Arrays, sizes: Sizes, candidates: np.ndarray | None = None
) -> tuple[np.ndarray, bool]:
    """float32 [3, mentions, candidates], and whether a score was found that is not finite."""
    m = {name.removeprefix("mention_"): torch.tensor(piece) for name, piece in mentions.items()}
    e = {name.removeprefix("entity_"): torch.tensor(piece) for name, piece in entities.items()}
    asked = len(m["text"])
    rows = torch.tensor(candidates) if candidates is not None else torch.zeros(1, dtype=torch.int64)
    count, listed = (len(rows), len(rows)) if candidates is not None else (len(e["text"]), 0)
    length, padded = (64 if sizes.length <= 64 else 128), -(-sizes.text_unit // 32) * 32
    stored = entities["entity_text"].dtype == np.float16
    high, low = (torch.full((asked, length, padded), torch.nan, dtype=torch.float16) for _ in range(2))
    units, wrong = torch.zeros(asked), torch.zeros(1, dtype=torch.int32)
    found = torch.full((3, asked, count), torch.nan)
    widths = (sizes.length, sizes.text_unit, padded)
    if stored:
        interaction_keys[(asked,)](m["keys"], high, low, units, *widths, LENGTH=length)
    interaction_text[(asked * -(-count // ENTITIES),)](
        *(m["keys"], high, low, units, m["values"], m["text"], e["queries"], e["cls"], e["text"], rows),
        *(torch.tensor(weights[f"context_norm.{name}"]) for name in ("weight", "bias")),
        *(found[0], wrong, asked, count, listed, *widths, sizes.text, EPSILON),
        **{"ENTITIES": ENTITIES, "LENGTH": length, "HALF": stored},
    )
    by_entity, by_mention = dual(weights, "by_entity"), dual(weights, "by_mention")
    interaction_image[(-(-asked // TILE_MENTIONS) * -(-count // TILE_ENTITIES),)](
        *(m["dual_key"], m["dual_query"], m["fused"], e["dual_query"], e["dual_key"], e["fused"], rows),
        *(*by_entity[:4], *by_mention[:4], found[1], found[2], wrong, asked, count, listed),
        *(sizes.image_unit, sizes.fused, EPSILON, *by_entity[4:], *by_mention[4:]),
        **{"MENTIONS": TILE_MENTIONS, "ENTITIES": TILE_ENTITIES},
    )
    return found.numpy(), bool(wrong[0])


def dual(weights: Arrays, side: str) -> tuple[torch.Tensor | float, ...]:
    of_key, of_query = weights[f"{side}.of_key"], weights[f"{side}.of_query"]
    width = len(of_key) // 3
    vectors = of_key[:width, 0], of_key[width : 2 * width, 1], weights[f"{side}.scale"], of_query[2 * width :, 3]
    numbers = weights[f"{side}.gate_offset"], weights[f"{side}.context_square"]
    return *(torch.tensor(vector.copy()) for vector in vectors), *(number.item() for number in numbers)


def close(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.shape == expected.shape
    for one, other in zip(found, expected, strict=True):
        limit = TOLERANCE * max(1.0, float(np.sqrt(np.mean(other**2))))
        np.testing.assert_allclose(one, other, rtol=0, atol=limit)


def expected(weights: Arrays, mentions: Arrays, entities: Arrays) -> np.ndarray:
    return scores(weights, mentions, {name: piece.astype(np.float32) for name, piece in entities.items()})


@pytest.mark.parametrize("stored", ["float16", "float32"])
@pytest.mark.parametrize(
    "sizes",
    [
        Sizes(1, 1, 1, 4, 1),
        Sizes(7, 15, 17, 9, 7),
        Sizes(32, 32, 33, 31, 33),
        Sizes(33, 33, 31, 33, 32),
        Sizes(40, 96, 130, 96, 70),
        Sizes(64, 17, 8, 8, 8),
        Sizes(65, 12, 20, 12, 12),
        Sizes(77, 8, 10, 6, 3),
        Sizes(128, 5, 6, 5, 5),
    ],
    ids=lambda sizes: f"{sizes.length}-{sizes.text_unit}",
)
def test_scores_are_those_of_the_formula_at_every_size(sizes: Sizes, stored: str) -> None:
    weights, mentions, entities = made(sizes.length, 2, 3, sizes)
    if stored == "float16":
        entities = half(entities)
    found, wrong = launched(weights, mentions, entities, sizes)
    close(found, expected(weights, mentions, entities))
    assert not wrong


@pytest.mark.parametrize(
    ("mentions", "entities"), [(1, 1), (2, ENTITIES - 1), (1, ENTITIES + 1), (3, 31), (1, 33), (17, 2)]
)
def test_scores_are_those_of_the_formula_for_any_number_of_both(mentions: int, entities: int) -> None:
    sizes = Sizes(3, 5, 4, 6, 5)
    weights, asked, known = made(mentions, mentions, entities, sizes)
    found, wrong = launched(weights, asked, half(known), sizes)
    close(found, expected(weights, asked, half(known)))
    assert not wrong


def test_candidates_are_rows_in_any_order() -> None:
    sizes = Sizes(9, 13, 21, 11, 10)
    weights, mentions, entities = made(3, 3, 40, sizes)
    everything, _ = launched(weights, mentions, half(entities), sizes)
    for chosen in ([39], [5, 3, 3, 38, 0], list(range(39, -1, -1))):
        ids = np.array(chosen, np.int64)
        found, wrong = launched(weights, mentions, half(entities), sizes, ids)
        # Not to the bit: a row of numpy's product depends on where it stands.
        np.testing.assert_allclose(found, everything[:, :, ids], rtol=0, atol=TOLERANCE)
        assert not wrong


def test_keys_of_any_magnitude_keep_their_digits() -> None:
    sizes = Sizes(5, 7, 3, 4, 3)
    for factor in (0.0, 1e-42, 1e-30, 1e-6, 3.0, 1e6):
        weights, mentions, entities = made(4, 2, 3, sizes)
        mentions["mention_keys"] *= np.float32(factor)
        entities["entity_queries"] *= np.float32(min(1.0, 3.0 / max(factor, 1e-9)))
        found, wrong = launched(weights, mentions, half(entities), sizes)
        close(found, expected(weights, mentions, half(entities)))
        assert not wrong


def test_a_key_is_the_sum_of_two_halves_to_a_part_in_eight_million() -> None:
    rng, sizes = np.random.default_rng(5), Sizes(33, 40)
    keys = torch.tensor(rng.standard_normal((2, sizes.length, sizes.text_unit)).astype(np.float32) * 300)
    high, low = (torch.full((2, 64, 64), torch.nan, dtype=torch.float16) for _ in range(2))
    units = torch.zeros(2)
    interaction_keys[(2,)](keys, high, low, units, sizes.length, sizes.text_unit, 64, LENGTH=64)
    exponents = np.log2(units.numpy() / np.log2(np.e))
    np.testing.assert_allclose(exponents, np.round(exponents), rtol=0, atol=1e-6)
    sums = (high.double() + low.double()).numpy() * 2.0 ** np.round(exponents)[:, None, None]
    most = np.abs(keys.numpy()).max(axis=(1, 2), keepdims=True)
    assert (np.abs(sums[:, : sizes.length, : sizes.text_unit] - keys.numpy()) <= 2**-23 * most).all()
    assert not sums[:, sizes.length :].any()
    assert not sums[:, :, sizes.text_unit :].any()


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", [*Sizes().mention, *Sizes().entity])
def test_a_piece_that_is_not_finite_is_found(name: str, wrong: float) -> None:
    sizes = Sizes(3, 5, 4, 6, 5)
    weights, mentions, entities = made(11, 2, 3, sizes)
    entities = half(entities)
    side: Mapping[str, np.ndarray] = mentions if name in mentions else entities
    side[name][(-1, *(size // 2 for size in side[name].shape[1:]))] = wrong
    assert launched(weights, mentions, entities, sizes)[1]
