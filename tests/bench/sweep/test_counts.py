"""Random entities of a stated token count."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mmkg_sdk import QueryError
from mmkg_sdk.bench import random_entities
from mmkg_sdk.bench.sweep.counts import check_count, chosen_counts
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.families.measuring import Counts


@pytest.fixture(scope="module")
def bundle(golden_bundle: Path) -> Bundle:
    return Bundle.open(golden_bundle)


@pytest.mark.parametrize(("token_count", "visual", "text"), [(4, 1, 1), (5, 2, 1), (14, 6, 6), (33, 16, 15)])
def test_tokens_are_split_evenly(bundle: Bundle, token_count: int, visual: int, text: int) -> None:
    batch = random_entities(bundle, token_count, 7, seed=0)
    assert batch.arrays["visual_tokens"].shape == (7, visual)
    assert batch.arrays["text_tokens"].shape == (7, text)
    assert batch.token_count == token_count
    assert not batch.arrays["visual_mask"].any()
    assert not batch.arrays["text_mask"].any()


def test_every_codebook_row_is_drawn_and_none_beyond(bundle: Bundle) -> None:
    batch = random_entities(bundle, 64, 500, seed=1)
    for kind in ("visual", "text"):
        rows = getattr(bundle.config, f"{kind}_codebook_rows")
        np.testing.assert_array_equal(np.unique(batch.arrays[f"{kind}_tokens"]), np.arange(rows))


def test_structure_rows_come_from_the_bundle(bundle: Bundle) -> None:
    trained = {row.tobytes() for row in bundle.inputs["structure"]}
    drawn = random_entities(bundle, 4, 50, seed=2).arrays["structure"]
    assert {row.tobytes() for row in drawn} <= trained
    assert drawn.dtype == np.float32


def test_equal_seeds_give_equal_entities(bundle: Bundle) -> None:
    first, again, other = (random_entities(bundle, 9, 20, seed=seed).arrays for seed in (3, 3, 4))
    for name, array in first.items():
        np.testing.assert_array_equal(array, again[name])
    assert (first["text_tokens"] != other["text_tokens"]).any()


def test_token_counts_are_sorted_and_counted_once(bundle: Bundle) -> None:
    assert chosen_counts(bundle, {"all": [8, 4, 8, 14]}) == {"all": (4, 8, 14)}


def test_a_family_has_counts_of_its_own(bundle: Bundle, golden_bundles: Callable[..., Path]) -> None:
    assert chosen_counts(bundle, {}) == {"all": (4, 8, 14, 32, 64, 128, 256, 512)}
    mimic = Bundle.open(golden_bundles("base", "fp32", "mimic"))
    found = chosen_counts(mimic, {"text": [9]})
    assert found["text"] == (9,)
    assert mimic.config.num_image_tokens in found["visual"]
    assert {5, 17, 50, 101, 197} <= set(found["visual"])


@pytest.mark.parametrize("counts", [[2], [3], [-1], [0], [True], [4.0], ["8"], [10**9], [8, 2051], []])
def test_token_counts_out_of_range_are_refused(bundle: Bundle, counts: list[int]) -> None:
    with pytest.raises(QueryError, match=r"token count|numbers of tokens"):
        chosen_counts(bundle, {"all": counts})
    if counts:
        with pytest.raises(QueryError, match="takes a whole number from 4 to 2,050"):
            random_entities(bundle, counts[-1], 1, seed=0)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"all": [4]}, "measured by numbers of text tokens and visual tokens; counts of tokens were given"),
        ({"visual": [6]}, "6 visual tokens are no image"),
        ({"visual": [1]}, "from 2 to 4,096"),
        ({"text": [5000]}, "from 4 to 4,096"),
    ],
)
def test_what_a_text_or_a_picture_cannot_have_is_refused(
    asked: Counts, said: str, golden_bundles: Callable[..., Path]
) -> None:
    with pytest.raises(QueryError, match=said):
        chosen_counts(Bundle.open(golden_bundles("base", "fp32", "mimic")), asked)


def test_mkgformer_takes_any_number_of_visual_tokens(golden_bundles: Callable[..., Path]) -> None:
    check_count(Bundle.open(golden_bundles("lp_pretrain_small", "fp32", "mkgformer")), "visual", 6)
