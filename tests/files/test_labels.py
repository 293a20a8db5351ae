"""Labels: a two-way mapping, and what is near a name that is not there."""

from __future__ import annotations

import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmkg_sdk import MmkgError
from mmkg_sdk.files.labels import Labels

NAMES = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), min_size=1)


@given(st.lists(NAMES, unique=True))
def test_every_name_is_found_at_its_place(names: list[str]) -> None:
    labels = Labels(names)
    assert list(labels) == names
    assert [labels.find(name) for name in names] == list(range(len(names)))
    assert all(name in labels for name in names)
    assert labels == Labels(names)
    assert hash(labels) == hash(Labels(names))


def test_an_absent_name_is_none() -> None:
    labels = Labels(["a"])
    assert labels.find("b") is None
    assert labels.find("") is None
    assert "b" not in labels
    assert 0 not in labels


def test_positions_and_slices_work_like_those_of_a_tuple() -> None:
    labels = Labels(["a", "b", "c"], kind="relation")
    assert labels[1] == "b"
    assert labels[-1] == "c"
    assert labels[1:] == ("b", "c")
    with pytest.raises(IndexError):
        labels[3]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a", ""], "relation label 1 is ''; a label is one non-empty line"),
        (["a\nb"], "label 0 is"),
        (["a\rb"], "label 0 is"),
        (["a", "b", "a"], "relation label 'a' stands at 0 and again at 2; rename one"),
        (["a", "x" * 10_001], "label 1 has 10,001 characters; a label has at most 10,000"),
    ],
)
def test_what_is_no_label_is_named_with_its_place(names: list[str], message: str) -> None:
    with pytest.raises(MmkgError, match=message):
        Labels(names, kind="relation")


@pytest.fixture(params=["with rapidfuzz", "without"])
def rapidfuzz(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "without":
        monkeypatch.setitem(sys.modules, "rapidfuzz", None)
        monkeypatch.setitem(sys.modules, "rapidfuzz.distance", None)
    else:
        pytest.importorskip("rapidfuzz", reason="the extra [all] is not installed")


@pytest.mark.usefixtures("rapidfuzz")
def test_near_labels_are_found_whatever_case_and_underscores() -> None:
    labels = Labels(["Northern_Norway", "Norway", "Sweden", "Normandy"])
    assert labels.near("norwey")[0] == "Norway"
    assert labels.near("northern norway")[0] == "Northern_Norway"
    assert labels.near("qqq") == []
    assert labels.near("") == []
    assert len(labels.near("Norway", count=1)) == 1


@pytest.mark.usefixtures("rapidfuzz")
def test_near_labels_of_a_large_vocabulary_take_milliseconds() -> None:
    labels = Labels(f"http://example.org/resource/Some_Thing_{i}" for i in range(200_000))
    labels.near("a first one, which may import rapidfuzz")
    begin = time.monotonic()
    slips = ("Sme_Thing_77", "Some_Thign_77", "Some_Thing-77", "Some Thing 77", "SomeXThing_77")
    for slip in slips:
        assert labels.near(f"http://example.org/resource/{slip}")[0].endswith("Some_Thing_77"), slip
    assert labels.near("nothing like them") == []
    labels.near("x" * 1_000_000)
    assert time.monotonic() - begin < 0.2 * (len(slips) + 2), "measured: 8 ms each; it was 1,600 ms"


def test_the_repr_is_short() -> None:
    assert repr(Labels(["a", "b", "c", "d"])) == "Labels(4 x entity: a, b, c, ...)"
