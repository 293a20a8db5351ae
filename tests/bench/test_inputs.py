"""Random entities of a stated token count."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmkg_sdk import QueryError
from mmkg_sdk.bench import random_entities
from mmkg_sdk.bench.inputs import check_token_counts
from mmkg_sdk.bundle import Bundle


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
    assert check_token_counts(bundle, [8, 4, 8, 14]) == (4, 8, 14)


@pytest.mark.parametrize("counts", [[2], [3], [-1], [0], [True], [4.0], ["8"], [10**9], [8, 2051], []])
def test_token_counts_out_of_range_are_refused(bundle: Bundle, counts: list[int]) -> None:
    with pytest.raises(QueryError, match="token count"):
        check_token_counts(bundle, counts)
    if counts:
        with pytest.raises(QueryError, match="takes a whole number from 4 to 2,050"):
            random_entities(bundle, counts[-1], 1, seed=0)
