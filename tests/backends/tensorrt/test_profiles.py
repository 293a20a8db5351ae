"""Optimization profiles: what --profile says, what a graph gets, and into which profile sizes fall."""

from __future__ import annotations

import pytest

from mmkg_sdk.backends.tensorrt.profiles import (
    Range,
    limits,
    parse_buckets,
    profile_of,
    profile_shapes,
    profiles_for,
)
from mmkg_sdk.bundle.graph_specs import Axis, GraphSpec, TensorSpec
from mmkg_sdk.errors import BackendError

BATCH, TOKENS = Axis("batch", 1, 256, 4096), Axis("tokens", 1, 8, 1024)
MENTIONS, CANDIDATES = Axis("mentions", 1, 8, 64), Axis("candidates", 1, 128, 2048)
ENCODER = GraphSpec(
    "encoder",
    (TensorSpec("ids", "int64", (BATCH, TOKENS)), TensorSpec("structure", "float32", (BATCH, 32))),
    (TensorSpec("vectors", "float32", (BATCH, 32)),),
)
PAIRS = GraphSpec(
    "interaction",
    (TensorSpec("mention", "float32", (MENTIONS, 16)), TensorSpec("entity", "float16", (CANDIDATES, 16))),
    (TensorSpec("scores", "float32", (MENTIONS, CANDIDATES)),),
)
FIXED = GraphSpec("fixed", (TensorSpec("x", "float32", (3, 4)),), (TensorSpec("y", "float32", (3,)),))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("batch=1", (Range(1, 1, 1),)),
        ("batch=1,32,256", (Range(1, 1, 1), Range(2, 32, 32), Range(33, 256, 256))),
        ("batch=4:16:64", (Range(4, 16, 64),)),
        ("batch=1,2:8:16,100", (Range(1, 1, 1), Range(2, 8, 16), Range(17, 100, 100))),
    ],
)
def test_buckets_are_read(text: str, expected: tuple[Range, ...]) -> None:
    assert parse_buckets([text]) == {"batch": expected}


@pytest.mark.parametrize(
    "text",
    [
        *("", "batch", "=1", "batch=", "batch=0", "batch=-1", "batch=1,1", "batch=4,2", "batch=1:2", "batch=8:4:16"),
        *("batch=1:2:3:4", "batch=1e3", "batch=٣", "batch=1,,2", "batch=4:8:16,10:20:30", "batch=1:"),
        "batch=" + "9" * 5000,
    ],
    ids=lambda text: text[:20],
)
def test_what_is_no_profile_is_refused(text: str) -> None:
    with pytest.raises(BackendError, match="profile"):
        profiles_for(ENCODER, parse_buckets([text]))


def test_an_axis_is_given_once() -> None:
    with pytest.raises(BackendError, match="each axis once"):
        parse_buckets(["batch=1", "batch=2"])


def test_the_batch_has_three_buckets_and_other_axes_one() -> None:
    whole = Range(1, 8, 1024)
    assert profiles_for(ENCODER, {}) == (
        {"batch": Range(1, 1, 1), "tokens": whole},
        {"batch": Range(2, 256, 256), "tokens": whole},
        {"batch": Range(257, 4096, 4096), "tokens": whole},
    )
    assert [profile["mentions"] for profile in profiles_for(PAIRS, {})] == [
        Range(1, 1, 1),
        Range(2, 8, 8),
        Range(9, 64, 64),
    ]
    assert {profile["candidates"] for profile in profiles_for(PAIRS, {})} == {Range(1, 128, 2048)}


def test_a_graph_without_free_axes_has_one_profile() -> None:
    (profile,) = profiles_for(FIXED, {})
    assert profile_shapes(profile, FIXED.inputs[0]) == ((3, 4), (3, 4), (3, 4))
    assert profile_of([profile], {}) == 0


@pytest.mark.parametrize("axis", [Axis("batch", 1, 1, 1), Axis("batch", 5, 5, 9), Axis("batch", 2, 7, 7)])
def test_default_buckets_hold_every_size_once(axis: Axis) -> None:
    spec = GraphSpec("g", (TensorSpec("x", "float32", (axis,)),), (TensorSpec("y", "float32", (axis,)),))
    profiles = profiles_for(spec, {})
    for size in range(axis.min, axis.max + 1):
        assert sum(size in profile["batch"] for profile in profiles) == 1


def test_buckets_of_several_axes_are_combined() -> None:
    profiles = profiles_for(ENCODER, parse_buckets(["batch=1,64", "tokens=4,16", "others=3"]))
    assert [(str(one["batch"]), str(one["tokens"])) for one in profiles] == [
        ("1:1:1", "1:4:4"),
        ("1:1:1", "5:16:16"),
        ("2:64:64", "1:4:4"),
        ("2:64:64", "5:16:16"),
    ]
    assert profile_shapes(profiles[3], ENCODER.inputs[0]) == ((2, 5), (64, 16), (64, 16))


def test_sizes_that_the_graph_does_not_take_are_refused_with_those_that_it_takes() -> None:
    with pytest.raises(BackendError, match=r"batch=1:5000:5000: graph encoder takes 1 to 4,096 along batch"):
        profiles_for(ENCODER, parse_buckets(["batch=5000"]))


def test_too_many_profiles_are_refused() -> None:
    many = parse_buckets(["batch=1,2,3,4,5", "tokens=1,2,3,4"])
    with pytest.raises(BackendError, match="20 optimization profiles, at most 16"):
        profiles_for(ENCODER, many)


def test_sizes_fall_into_the_first_profile_that_holds_them() -> None:
    profiles = profiles_for(ENCODER, {})
    for batch, expected in ((1, 0), (2, 1), (256, 1), (257, 2), (4096, 2), (4097, None), (0, None)):
        assert profile_of(profiles, {"batch": batch, "tokens": 5}) == expected
    assert profile_of(profiles, {"batch": 1, "tokens": 1025}) is None
    assert limits(profiles) == "batch 1 to 4,096, tokens 1 to 1,024"


def test_only_what_every_output_has_can_be_cut() -> None:
    assert ENCODER.batch_axes() == ["batch"]
    assert PAIRS.batch_axes() == ["mentions", "candidates"]
    assert FIXED.batch_axes() == []
