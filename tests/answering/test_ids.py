"""From labels and ids, one or many, to checked int64 ids; or an error that says which value is wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmkg_sdk import QueryError
from mmkg_sdk.answering.ids import aligned_ids, to_ids
from mmkg_sdk.files.labels import Labels

LABELS = Labels(["zero", "one", "two", "three", "4", "five"])


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("two", [2]),
        (2, [2]),
        (np.int32(2), [2]),
        (np.uint8(2), [2]),
        (np.str_("two"), [2]),
        ([], []),
        ((), []),
        (np.empty(0, np.int64), []),
        (["one", 3, "two", np.int64(0)], [1, 3, 2, 0]),
        ("4", [4]),  # a label that looks like a number is a label
        (["4", 4], [4, 4]),
        (("one",), [1]),
        (range(3), [0, 1, 2]),
        (iter(["one", "two"]), [1, 2]),
        ({"one": 1}.keys(), [1]),
        (np.array(["one", "five"]), [1, 5]),
        (np.array(["one", 5], dtype=object), [1, 5]),
        (np.array([1, 5], dtype=">i4"), [1, 5]),
        (np.array([1, 5], dtype=np.uint64), [1, 5]),
        (np.array([[1, 9], [5, 9]])[:, 0], [1, 5]),
        (np.array([5, 4, 3])[::-2], [3, 5]),
        (torch.tensor([1, 5]), [1, 5]),
        (torch.tensor([1, 5], dtype=torch.int32), [1, 5]),
    ],
    ids=lambda value: f"{type(value).__name__} {value}"[:40],
)
def test_many_forms_give_ids(names: Any, expected: list[int]) -> None:
    found = to_ids(names, LABELS)
    assert found.tolist() == expected
    assert found.dtype == np.int64
    assert found.dtype.isnative
    assert found.flags.c_contiguous


def test_a_read_only_array_is_taken_and_left_as_it_is() -> None:
    array = np.array([1, 2])
    array.flags.writeable = False
    assert to_ids(array, LABELS).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("tree", r"unknown entity 'tree' \(number 0 of 1\). There are 6; near: 'three'"),
        (["one", "qqq"], r"unknown entity 'qqq' \(number 1 of 2\). There are 6; none is near"),
        ("", "unknown entity ''"),
        ("x" * 100_000, "unknown entity 'xxx"),
        (-1, r"entity id -1 \(number 0 of 1\) is out of range; ids are 0 to 5"),
        (6, "entity id 6 .* out of range"),
        ([0, 2**63], r"entity id 9223372036854775808 \(number 1 of 2\)"),
        ([0, -(2**70)], "out of range"),
        (np.array([0, 1, -1]), r"entity id -1 \(number 2 of 3\)"),
        (np.array([2**64 - 1], dtype=np.uint64), "entity id 18446744073709551615"),
        (np.array([6], dtype=np.int8), "entity id 6"),
        ([0, 1.0], r"entity \(number 1 of 2\) is 1.0 \(float\); expected a label or an integer id"),
        ([True], r"is True \(bool\)"),
        ([np.True_], "is True|is np.True_"),
        ([None], r"is None \(NoneType\)"),
        ([b"one"], r"is b'one' \(bytes\)"),
        ([["one"]], r"is \['one'\] \(list\)"),
        (True, r"entity is True \(bool\); expected a label, an id, or a list of them"),
        (1.5, "entity is 1.5"),
        (np.float32(1), "float32"),
        (None, "entity is None"),
        (b"one", "entity is b'one'"),
        (bytearray(b"\1\2"), "bytearray"),
        (memoryview(b"\1\2"), "memoryview"),
        ({"one": 1}, r"\(dict\)"),
        ({"one"}, r"\(set\)"),
        (frozenset({1}), r"\(frozenset\)"),
        (object(), "expected a label, an id, or a list"),
        (np.array([1.0, 2.0]), "dtype float64; expected labels or integer ids"),
        (np.array([True]), "dtype bool"),
        (np.array([1 + 2j]), "dtype complex128"),
        (np.array(["2020-01-01"], dtype="M8[D]"), "dtype datetime64"),
        (np.array([b"one"]), "bytes"),
        (np.array([(1, 2)], dtype="i4,i4"), "dtype"),
        (np.array(3), r"shape \[\]; expected one axis"),
        (np.zeros((2, 2), np.int64), r"shape \[2, 2\]; expected one axis"),
        (torch.tensor([1.0]), "dtype float32"),
        (torch.tensor([1.0], dtype=torch.bfloat16), "bfloat16"),
        (torch.tensor([1]).to_sparse(), "no array form"),
    ],
    ids=lambda value: f"{type(value).__name__} {value!r}".split(" at 0x")[0][:40],
)
def test_anything_else_is_an_error_that_names_it(names: Any, message: str) -> None:
    with pytest.raises(QueryError, match=message) as caught:
        to_ids(names, LABELS)
    assert len(str(caught.value)) < 500


@given(st.lists(st.integers(-3, 8)))
def test_lists_and_arrays_are_judged_alike(numbers: list[int]) -> None:
    def outcome(names: Any) -> Any:
        try:
            return to_ids(names, LABELS).tolist()
        except QueryError as err:
            return str(err)

    expected = numbers if all(0 <= number < 6 for number in numbers) else outcome(numbers)
    assert outcome(numbers) == outcome(np.array(numbers, dtype=np.int64)) == expected


def test_a_single_value_is_paired_with_all_of_the_others() -> None:
    def aligned(*columns: Any) -> list[list[int]]:
        names = ("heads", "relations", "tails")
        return [a.tolist() for a in aligned_ids(*((n, c, LABELS) for n, c in zip(names, columns, strict=False)))]

    assert aligned("one", "two") == [[1], [2]]
    assert aligned(["one", "two"], 3) == [[1, 2], [3, 3]]
    assert aligned(3, [0, 1, 2]) == [[3, 3, 3], [0, 1, 2]]
    assert aligned(3, []) == [[], []]
    assert aligned("one", "two", [3, 4]) == [[1, 1], [2, 2], [3, 4]]
    assert aligned([1, 2], [3, 4], [0, 5]) == [[1, 2], [3, 4], [0, 5]]
    assert aligned("one", [2], "three") == [[1], [2], [3]]


def test_two_lists_of_different_length_are_refused_with_both_lengths() -> None:
    with pytest.raises(QueryError, match="2 heads and 3 relations; expected equally many, or a single one"):
        aligned_ids(("heads", [0, 1], LABELS), ("relations", [0, 1, 2], LABELS))
    with pytest.raises(QueryError, match="1 heads and 2 relations"):
        aligned_ids(("heads", [0], LABELS), ("relations", [0, 1], LABELS))
    with pytest.raises(QueryError, match="2 heads and 1 relations and 3 tails"):
        aligned_ids(("heads", [0, 1], LABELS), ("relations", 0, LABELS), ("tails", [0, 1, 2], LABELS))
