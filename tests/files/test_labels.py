"""Labels: a two-way mapping, and what is near a name that is not there."""

from __future__ import annotations

import pickle
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmkg_sdk import MmkgError
from mmkg_sdk.files.labels import Labels, parse_labels

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
    assert labels.of_ids([2, 0]) == ["c", "a"]
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


MANY = 40_000  # more than a mebibyte, from which on no label is an object


@pytest.fixture(scope="module")
def many() -> tuple[Labels, list[str]]:
    names = [f"http://example.org/resource/Ding_{i}_ä\u2028😀" for i in range(MANY)]
    return parse_labels("\n".join(names).encode(), Path("entities.txt")), names


def test_many_labels_are_what_few_are(many: tuple[Labels, list[str]]) -> None:
    labels, names = many
    assert labels._lines is not None
    assert (len(labels), list(labels), labels[7], labels[-1]) == (MANY, names, names[7], names[-1])
    assert labels[5:9] == tuple(names[5:9])
    assert (labels == Labels(names), Labels(names) == labels, hash(labels) == hash(Labels(names))) == (True,) * 3
    assert labels != Labels([*names[:-1], "another"])
    with pytest.raises(IndexError):
        labels[MANY]
    assert [labels.find(names[i]) for i in (0, 17, MANY - 1)] == [0, 17, MANY - 1]
    absent = ["", "a", names[3][:-1], names[3] + "\n", "\ud800", names[0] + "\n" + names[1]]
    assert [labels.find(name) for name in absent] == [None] * 6
    assert labels.find_all([names[9], "x", names[9]]).tolist() == [9, -1, 9]
    assert labels.of_ids([9, 0, 9]) == [names[9], names[0], names[9]]
    assert list(pickle.loads(pickle.dumps(labels))) == names


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"", r"entities.txt:30001: empty line"),
        (b"Ding 7", r"entities.txt:30001: entity label 'Ding 7' stands in line 8 already"),
        (b"a\rb", r"entities.txt:30001: .* carriage return"),
        (b"\xef\xbb\xbfa", r"entities.txt:30001: .* byte order mark"),
        (b"\xff", r"entities.txt:30001: .* is not UTF-8"),
        (b"x" * 10_001, "label 30000 has 10,001 characters"),
    ],
)
def test_a_wrong_one_among_many_is_named_with_its_line(line: bytes, message: str) -> None:
    lines = [b"Ding %d" % i for i in range(120_000)]
    lines[30_000] = line
    with pytest.raises(MmkgError, match=message):
        parse_labels(b"\n".join(lines) + b"\n", Path("entities.txt"))


def test_a_label_of_the_most_characters_is_one_among_many() -> None:
    names = ["ä" * 10_000, *(f"Ding {i}" for i in range(120_000))]
    labels = parse_labels("\n".join(names).encode(), Path("entities.txt"))
    assert labels._lines is not None
    assert labels[0] == names[0]


def test_lists_that_grow_share_what_they_have_and_nothing_else(many: tuple[Labels, list[str]]) -> None:
    for first in (many[0], Labels(["a", "b"])):
        size = len(first)
        one, other = first.extended(["one"]), first.extended(["other", "one"])
        further = one.extended(["other"])
        assert (len(first), len(one), len(other), len(further)) == (size, size + 1, size + 2, size + 2)
        assert (first.find("one"), one.find("one"), other.find("one")) == (None, size, size + 1)
        assert (one.find("other"), other.find("other"), further.find("other")) == (None, size, size + 1)
        assert (one[-1], other[-1], further[-2:]) == ("one", "one", ("one", "other"))
        assert list(further) == [*first, "one", "other"]
        assert further == Labels([*first, "one", "other"])
        with pytest.raises(MmkgError, match="stands at 0 and again"):
            further.extended(["fine", first[0]])
        assert further.find("fine") is None
        assert first.extended(["fine"])[-1] == "fine"


def test_a_slip_among_many_is_found(many: tuple[Labels, list[str]]) -> None:
    labels, names = many
    grown = labels.extended(f"more {i}" for i in range(20_000))
    assert grown.near("http://example.org/resource/Ding_77_ä\u2028😀x")[0] == names[77]
    assert grown.near("moer 12345") == ["more 12345"]
