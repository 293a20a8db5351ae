"""Sentences with relations and with tags in our own layout: written, read again, and malformed."""

from __future__ import annotations

import gzip
import json
import lzma
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmkg_sdk.data import read_relations, read_tagging, write_relations, write_tagging
from mmkg_sdk.data.sentences import (
    TAGS,
    RelationData,
    RelationSentence,
    SentenceImages,
    TaggedSentence,
    TaggingData,
)
from mmkg_sdk.errors import DataError
from mmkg_sdk.files.labels import Labels

from ..folders import own_relations, own_tags, pack_files, small_mnre, small_twitter, write_files


def test_relations_of_our_own_layout_are_read(tmp_path):
    data = read_relations(own_relations(tmp_path / "small"))
    assert data.name == "small"
    assert list(data.relations) == ["none", "/per/loc/lives_in"]
    image = SentenceImages(tmp_path / "small" / "images" / "ada.png")
    words = ("Ada", "lives", "in", "Old", "Town")
    assert data.train == (RelationSentence(words, (0, 1), (3, 5), "/per/loc/lives_in", image),)
    assert data.valid[0].images == SentenceImages()
    assert data.test == ()


def test_tags_of_our_own_layout_are_read(tmp_path):
    data = read_tagging(own_tags(tmp_path / "small"))
    assert data.train == (TaggedSentence(("Ada", "Vale", "visits", "Rome"), ("B-PER", "I-PER", "O", "B-LOC")),)
    assert data.valid == ()
    assert data.test[0].words == ("Hello",)


def test_without_a_list_the_class_for_no_relation_comes_first_and_the_others_follow_by_name(tmp_path):
    assert list(read_relations(own_relations(tmp_path, {"relations.txt": None})).relations) == [
        "none", "/per/loc/lives_in",
    ]  # fmt: skip
    data = read_relations(small_mnre(tmp_path / "mnre"))
    assert list(data.relations) == ["None", "/per/misc/knows", "/per/misc/owns"]


@pytest.mark.parametrize(("pack", "suffix"), [(lzma.compress, ".xz"), (gzip.compress, ".gz")])
def test_compressed_files_read_like_plain_ones(tmp_path, pack, suffix):
    for make, read in (
        (own_relations, read_relations), (own_tags, read_tagging), (small_mnre, read_relations),
        (small_twitter, read_tagging),
    ):  # fmt: skip
        plain = read(make(tmp_path / make.__name__))
        assert read(pack_files(make(tmp_path / make.__name__), pack, suffix)) == plain


word = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)


@st.composite
def relation_sentences(draw):
    words = draw(st.lists(word, min_size=1, max_size=5))
    spans = []
    for _ in range(2):
        start = draw(st.integers(0, len(words) - 1))
        spans.append((start, draw(st.integers(start + 1, len(words)))))
    return RelationSentence(tuple(words), *spans, draw(st.sampled_from(["NA", "r", "r s"])))


@st.composite
def tagged_sentences(draw):
    tagged = draw(st.lists(st.tuples(word, st.sampled_from(TAGS)), min_size=1, max_size=5))
    return TaggedSentence(*zip(*tagged, strict=True))


@given(st.data())
@settings(deadline=None)  # it waits for the disk
def test_reading_what_was_written_gives_the_same_data(data):
    def splits(sentences):
        return [tuple(data.draw(st.lists(sentences, min_size=least, max_size=3))) for least in (1, 0, 0)]

    relations = RelationData("name", Labels(["r s", "NA", "r"], kind="relation"), *splits(relation_sentences()))
    tags = TaggingData("name", *splits(tagged_sentences()))
    with tempfile.TemporaryDirectory() as temporary:
        write_relations(relations, Path(temporary) / "relations" / "name")
        write_tagging(tags, Path(temporary) / "tags" / "name")
        assert read_relations(Path(temporary) / "relations" / "name") == relations
        assert read_tagging(Path(temporary) / "tags" / "name") == tags


def test_pictures_and_crops_are_written_and_read_again(tmp_path):
    pictures = write_files(tmp_path / "pictures", {f"{name}.jpg": name.encode() for name in "abcd"})
    a, b, c, d = (pictures / f"{name}.jpg" for name in "abcd")
    sentence = TaggedSentence(("Rome",), ("B-LOC",), SentenceImages(a, (b, c), (d, b)))
    write_tagging(TaggingData("x", (sentence, TaggedSentence(("is",), ("O",))), (), ()), tmp_path / "out")
    data = read_tagging(tmp_path / "out")
    images = data.train[0].images
    assert [path.read_bytes() for path in (images.main, *images.aux, *images.rcnn)] == [b"a", b"b", b"c", b"d", b"b"]
    assert data.train[1].images == SentenceImages()
    a.unlink()
    with pytest.raises(DataError, match=r"a.jpg cannot be copied"):
        write_tagging(TaggingData("x", (sentence,), (), ()), tmp_path / "second")
    assert not (tmp_path / "second").exists()


def relation_line(**changes):
    item = {"words": ["a", "b"], "head": [0, 1], "tail": [1, 2], "relation": "none"} | changes
    return json.dumps({key: value for key, value in item.items() if value is not None}) + "\n"


MALFORMED_RELATIONS = {
    "span outside": (relation_line(tail=[1, 3]), r"train.jsonl:1: tail span is 1 to 3 in a sentence of 2 words"),
    "negative span": (relation_line(head=[-1, 1]), r"train.jsonl:1: head span is -1 to 1"),
    "empty span": (relation_line(head=[1, 1]), r"train.jsonl:1: head span is 1 to 1"),
    "span of three": (
        relation_line(head=[0, 1, 2]),
        r"train.jsonl:1: 'head' is '\[0, 1, 2\]'; expected \[start, end\]",
    ),
    "span of texts": (relation_line(head=["0", "1"]), r"train.jsonl:1: 'head' is"),
    "span of bools": (relation_line(head=[False, True]), r"train.jsonl:1: 'head' is"),
    "span of fractions": (relation_line(head=[0.0, 1.0]), r"train.jsonl:1: 'head' is"),
    "no span": (relation_line(head=None), r"train.jsonl:1: 'head' is 'None'"),
    "no words": (relation_line(words=[]), r"train.jsonl:1: no words"),
    "words a text": (relation_line(words="a b"), r"train.jsonl:1: 'words' is 'a b'; expected a list of texts"),
    "word a number": (relation_line(words=["a", 1]), r"train.jsonl:1: 'words' is '1'; expected a text"),
    "surrogate": (relation_line(words=["a", "\ud800"]), r"train.jsonl:1: 'words' holds half of a surrogate pair"),
    "no relation": (relation_line(relation=None), r"train.jsonl:1: 'relation' is missing"),
    "unknown relation": (
        relation_line(relation="nonne"),
        r"line 1 of the train split: relation 'nonne' .* near: 'none'",
    ),
    "unknown key": (
        relation_line(imgae="x"),
        r"train.jsonl:1: unknown key 'imgae'; expected words, head, tail, relation",
    ),
    "key twice": ('{"words": [], "words": []}\n', r"train.jsonl:1: key 'words' stands there twice"),
    "missing picture": (relation_line(image="images/b.png"), r"train.jsonl:1: image 'images/b.png' is not in"),
    "picture above": (relation_line(aux=["../b.png"]), r"train.jsonl:1: image '../b.png' is no path inside"),
    "crops in a text": (relation_line(rcnn="x"), r"train.jsonl:1: 'rcnn' is 'x'; expected a list"),
    "second line cut off": (relation_line() + '{"words": ["a"', r"train.jsonl:2: not valid JSON"),
    "blank line": (relation_line() + "\n" + relation_line(), r"train.jsonl:2: not valid JSON"),
    "a list": ("[1]\n", r"train.jsonl:1: expected one JSON object on the line, found list"),
    "deep": ("[" * 200_000, r"train.jsonl:1: JSON that cannot be read"),
    "digits": ('{"head": ' + "9" * 5000 + "}", r"train.jsonl:1: JSON that cannot be read"),
    "NaN": ('{"head": NaN}', r"train.jsonl:1: NaN is not JSON"),
    "not UTF-8": (relation_line().encode() + b'{"\xff', r"train.jsonl:2: byte 0xff is not UTF-8"),
    "empty": ("", r"relations-train.jsonl has no sentence"),
}


@pytest.mark.parametrize("case", MALFORMED_RELATIONS)
def test_a_malformed_line_of_relations_is_named(tmp_path, case):
    content, message = MALFORMED_RELATIONS[case]
    with pytest.raises(DataError, match=message):
        read_relations(own_relations(tmp_path, {"relations-train.jsonl": content}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tags-train.jsonl": '{"words": ["a", "b"], "tags": ["O"]}'}, r"train.jsonl:1: 2 words and 1 tags"),
        ({"tags-train.jsonl": '{"words": ["a"], "tags": ["B-CITY"]}'}, r"train.jsonl:1: unknown tag 'B-CITY'"),
        ({"tags-train.jsonl": '{"words": ["a"]}'}, r"train.jsonl:1: 'tags' is missing; expected a list"),
        ({"tags-train.jsonl": '{"words": ["a"], "tags": ["O"], "head": [0, 1]}'}, r"unknown key 'head'"),
        ({"tags-test.jsonl": None}, r"has no tags-test.jsonl"),
    ],
)
def test_malformed_tags_are_named(tmp_path, changes, message):
    with pytest.raises(DataError, match=message):
        read_tagging(own_tags(tmp_path, changes))


@pytest.mark.parametrize(
    ("classes", "message"),
    [("none\nnone\n", r"relations.txt: relation label 'none' stands at 0"), ("", r"is none of the 0 classes")],
)
def test_a_list_of_classes_that_does_not_fit_is_an_error(tmp_path, classes, message):
    with pytest.raises(DataError, match=message):
        read_relations(own_relations(tmp_path, {"relations.txt": classes}))


def test_a_folder_without_sentences_says_what_was_looked_for(tmp_path):
    with pytest.raises(DataError, match="is not a folder"):
        read_relations(tmp_path / "absent")
    with pytest.raises(DataError, match="is not a folder"):
        read_tagging(own_tags(tmp_path / "tags"), tmp_path / "absent")
    with pytest.raises(DataError, match=r"no sentences with relations; expected relations-train.jsonl"):
        read_relations(tmp_path / "tags")
    with pytest.raises(DataError, match=r"no sentences with tags; expected tags-train.jsonl"):
        read_tagging(small_mnre(tmp_path / "mnre"))
