"""Which CUDA graph queries go into. Needs the compiled library, and no GPU."""

from __future__ import annotations

import numpy as np
import pytest

from mmkg_sdk.backends.captured import Sizes
from mmkg_sdk.kernels import library
from mmkg_sdk.ranking.known_triples import AnswerLists

ROWS = 10**6

pytestmark = pytest.mark.skipif(isinstance(library(), str), reason="the library is not built")


def lists(*lengths: int) -> AnswerLists:
    return AnswerLists(np.cumsum([0, *lengths]), np.concatenate([np.arange(length) for length in lengths]))


@pytest.mark.parametrize(
    ("batch", "k", "expected"),
    [
        *((batch, 10, (padded, 16)) for batch, padded in ((1, 1), (2, 16), (16, 16), (17, 64), (64, 64), (65, 256))),
        *((256, k, (256, most)) for k, most in ((1, 16), (16, 16), (17, 64), (65, 256), (257, 1024), (1024, 1024))),
    ],
)
def test_sizes_are_the_smallest_that_hold_them(batch: int, k: int, expected: tuple[int, int]) -> None:
    found = Sizes.of(batch, k, None, ROWS)
    assert found is not None
    assert (found.batch, found.k) == expected
    assert (found.longest, found.room) == (0, 0)
    assert Sizes.of(batch, k, lists(*[0] * batch), ROWS) == found


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        ([1], (64, 64)),
        ([64], (64, 64)),
        ([65], (1024, 1024)),
        ([64, 64], (64, 128)),
        ([64, 64, 1], (1024, 2048)),  # more in all
        ([1024, 1024, 0], (1024, 2048)),
    ],
)
def test_lists_have_room_for_one_that_is_long_and_for_all(lengths: list[int], expected: tuple[int, int]) -> None:
    found = Sizes.of(len(lengths), 10, lists(*lengths), ROWS)
    assert found is not None
    assert (found.longest, found.room) == expected


@pytest.mark.parametrize(
    ("batch", "k", "lengths"),
    [(0, 1, None), (257, 1, None), (1, 1025, None), (1, 0, None), (1, 1, [1025]), (3, 1, [1024, 1024, 1])],
)
def test_what_no_graph_holds_has_none(batch: int, k: int, lengths: list[int] | None) -> None:
    assert Sizes.of(batch, k, lengths and lists(*lengths), ROWS) is None


def test_no_more_answers_are_asked_for_than_there_are_rows() -> None:
    found = Sizes.of(1, 20, None, 40)
    assert found is not None
    assert found.k == 40
    assert Sizes.of(1, 41, None, 40) is None
