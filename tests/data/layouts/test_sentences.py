"""Sentences with relations and with tags: our own layout, the public ones, pictures, and malformed files."""

from __future__ import annotations

import gzip
import json
import lzma
import os
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmkg_sdk.data import open_data, read_relations, read_tagging, write_relations, write_tagging
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
from tests.places import GOLDEN, REAL_DATA

from ..folders import mnre_line, own_relations, own_tags, pack_files, small_mnre, small_twitter, write_files

CASES = GOLDEN / "mkgformer" / "text_prep"


def real(name):
    if not (REAL_DATA / name).is_dir():
        pytest.skip(f"the real data set {name} is not on this machine")
    return REAL_DATA / name


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


def test_lines_of_mnre_are_read_with_their_list_of_classes(tmp_path):
    classes = {"/per/misc/owns": 1, "None": 2, "/per/misc/knows": 0}
    folder = small_mnre(tmp_path / "tiny", {"tiny_rel2id.json": json.dumps(classes)})
    data = read_relations(folder)
    assert list(data.relations) == ["/per/misc/knows", "/per/misc/owns", "None"]
    assert data.train[0] == RelationSentence(("Ada", "and", "Bo's", "dog"), (0, 1), (2, 4), "/per/misc/owns")
    assert (len(data.train), len(data.valid), len(data.test)) == (2, 1, 1)


def test_the_texts_may_lie_in_a_folder_of_their_own(tmp_path):
    small_mnre(tmp_path / "set" / "txt")
    write_files(tmp_path / "set", {"rel2id.json": '{"None": 0, "/per/misc/owns": 1, "/per/misc/knows": 2}'})
    assert list(read_relations(tmp_path / "set").relations) == ["None", "/per/misc/owns", "/per/misc/knows"]
    small_twitter(tmp_path / "tags" / "txt")
    assert len(read_tagging(tmp_path / "tags").train) == 2


def mnre_item(words, head, tail, relation):
    spans = {key: {"name": words[span[0]], "pos": list(span)} for key, span in (("h", head), ("t", tail))}
    return {"token": words, **spans, "img_id": "", "relation": relation}


MNRE_ITEMS = [
    mnre_item(["Ada", "visits", "Oslo", "🎉"], (0, 1), (2, 3), "/per/loc/place_of_residence"),
    mnre_item(["C:\\temp", "of", "Bo's"], (0, 1), (2, 3), "None"),
]
MNRE_SPELLINGS = {
    "Python": repr,
    "JSON": lambda item: json.dumps(item, ensure_ascii=False),
    "JSON with escapes": json.dumps,
    "JSON with escaped slashes": lambda item: json.dumps(item).replace("/", "\\/"),
    "JSON with null": lambda item: json.dumps(item | {"doc": None, "sure": True}),
    "Python with None": lambda item: repr(item | {"doc": None, "sure": True}),
    "JSON with blanks": lambda item: " " + json.dumps(item).replace("{", "{ "),
}


@pytest.mark.parametrize("spelling", MNRE_SPELLINGS)
def test_a_line_of_mnre_means_the_same_in_every_spelling(tmp_path, spelling):
    content = "".join(MNRE_SPELLINGS[spelling](item) + "\n" for item in MNRE_ITEMS)
    folder = write_files(tmp_path, {f"ours_{split}.txt": content for split in ("train", "val", "test")})
    data = open_data(folder)
    assert list(data.relations) == ["None", "/per/loc/place_of_residence"]
    assert data.test == data.valid == data.train == (
        RelationSentence(("Ada", "visits", "Oslo", "🎉"), (0, 1), (2, 3), "/per/loc/place_of_residence"),
        RelationSentence(("C:\\temp", "of", "Bo's"), (0, 1), (2, 3), "None"),
    )  # fmt: skip


def mnre_json(**changes):
    return json.dumps(MNRE_ITEMS[0] | changes) + "\n"


MALFORMED_MNRE_JSON = {
    "relation null": (mnre_json(relation=None), r"train.txt:1: 'relation' is null; expected a text"),
    "relation None": (repr(MNRE_ITEMS[0] | {"relation": None}), r"train.txt:1: 'relation' is null; expected a text"),
    "image null": (mnre_json(img_id=None), r"train.txt:1: 'img_id' is null; expected a text"),
    "words null": (mnre_json(token=None), r"train.txt:1: 'token' is null; expected a list of texts"),
    "head null": (mnre_json(h=None), r"train.txt:1: 'h' is None; expected"),
    "key twice": (mnre_json()[:-2] + ', "relation": "None"}', r"train.txt:1: key 'relation' stands there twice"),
    "NaN": (mnre_json(sure=float("nan")), r"train.txt:1: NaN is not JSON"),
    "half a pair": (
        mnre_json() + mnre_json(token=["a", "\ud83c", "c"]),
        r"train.txt:2: 'token' holds half of a surrogate",
    ),
    "half a pair in the relation": (mnre_json(relation="\udf89"), r"train.txt:1: 'relation' holds half of a surrogate"),
    "half a pair in a key": (mnre_json(**{"\ud83c": 1}), r"train.txt:1: key '\\ud83c' holds half of a surrogate"),
    "half a pair in Python": (
        repr(MNRE_ITEMS[0]).replace("🎉", "\\ud83c\\udf89"),
        r"train.txt:1: 'token' holds half of a surrogate",
    ),
    "keys of several types": (
        mnre_json() + "{1: 2, 'token': ['a']}",
        r"train.txt:2: expected one JSON object or Python dict",
    ),
}


@pytest.mark.parametrize("case", MALFORMED_MNRE_JSON)
def test_a_malformed_line_of_json_is_named(tmp_path, case):
    content, message = MALFORMED_MNRE_JSON[case]
    files = {"ours_train.txt": content, "ours_val.txt": mnre_json(), "ours_test.txt": mnre_json()}
    with pytest.raises(DataError, match=message):
        open_data(write_files(tmp_path, files))


def test_half_a_pair_in_the_list_of_classes_is_named(tmp_path):
    with pytest.raises(DataError, match=r"rel2id.json: key '\\ud83c' holds half of a surrogate pair"):
        read_relations(small_mnre(tmp_path, {"rel2id.json": '{"None": 0, "\\ud83c": 1}'}))


MALFORMED_MNRE = {
    "code": ("{'token': __import__('os').abort()}", r"train.txt:1: expected one JSON object or Python dict"),
    "comprehension": ("{'token': [x for x in 'ab']}", r"train.txt:1: expected one JSON object or Python dict"),
    "names in brackets": ("{'a': (yield)}", r"train.txt:1: expected one JSON object or Python dict"),
    "cut off": ("{'token': ['a', 'b'", r"train.txt:1: expected one JSON object or Python dict"),
    "quote open": ("{'token': ['a, 'b'], 'h': 1}", r"train.txt:1: expected one JSON object or Python dict"),
    "a list": ("{'a'}", r"train.txt:1: expected one JSON object or Python dict"),
    "deep": ("{'a': " + "[" * 10_000 + "]" * 10_000 + "}", r"train.txt:1: expected one JSON object or Python dict"),
    "signs": ("{'a': " + "-" * 5_000 + "1}", r"train.txt:1: expected one JSON object or Python dict"),
    "long": ("{'a': '" + "x" * 200_000 + "'}", r"train.txt:1: expected one JSON object or Python dict"),
    "digits": ("{'a': " + "9" * 5_000 + "}", r"train.txt:1: expected one JSON object or Python dict"),
    "bytes": ("{'token': [b'a']}", r"train.txt:1: expected one JSON object or Python dict"),
    "unhashable": ("{'a': {['b']: 1}}", r"train.txt:1: expected one JSON object or Python dict"),
    "no head": ("{'token': ['a'], 'img_id': 'x', 'relation': 'None'}", r"train.txt:1: 'h' is None; expected"),
    "head a text": (
        mnre_line("p", "None").replace("{'name': 'Ada', 'pos': [0, 1]}", "'Ada'"),
        r"train.txt:1: 'h' is 'Ada'; expected",
    ),
    "span outside": (mnre_line("p", "None").replace("[2, 4]", "[2, 5]"), r"train.txt:1: tail span is 2 to 5"),
    "span of one": (mnre_line("p", "None").replace("[2, 4]", "[2]"), r"train.txt:1: 't' is {.*'pos': \[2\]}; expected"),
    "words a text": (
        mnre_line("p", "None").replace("['Ada', 'and', ", "'x', 'y': ["),
        r"train.txt:1: 'token' is 'x'; expected a list of texts",
    ),
    "second line": (mnre_line("p", "None") + "nothing", r"train.txt:2: expected one JSON object or Python dict"),
    "blank line": (
        mnre_line("p", "None") + "\n" + mnre_line("p", "None"),
        r"train.txt:2: expected one JSON object or Python dict",
    ),
    "not UTF-8": (b"{'token': ['\xff']}", r"train.txt:1: byte 0xff is not UTF-8"),
}


@pytest.mark.parametrize("case", MALFORMED_MNRE)
def test_a_malformed_line_of_mnre_is_named_and_never_run(tmp_path, case):
    content, message = MALFORMED_MNRE[case]
    with pytest.raises(DataError, match=message):
        read_relations(small_mnre(tmp_path, {"tiny_train.txt": content}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tiny_val.txt": None}, r"has no \*valid.txt or \*val.txt or \*dev.txt that starts with .* beside tiny_t"),
        ({"a_train.txt": mnre_line("p", "None")}, r"a_train.txt and tiny_train.txt are both train files"),
        ({"rel2id.json": '{"None": 0, "x": 2}'}, r"rel2id.json: expected relation -> id with the ids 0 to 1"),
        ({"rel2id.json": '{"None": true}'}, r"rel2id.json: expected relation -> id"),
        ({"rel2id.json": '{"None": 0}'}, r"line 1 of the train split: relation '/per/misc/owns' is none of the 1"),
        ({"rel2id.json": "{}", "x_rel2id.json": "{}"}, r"several lists of classes: rel2id.json, x_rel2id.json"),
        ({"rel2id.json": '{"None": 0'}, r"rel2id.json:1: not valid JSON"),
    ],
)
def test_files_of_mnre_that_do_not_fit_are_an_error(tmp_path, changes, message):
    with pytest.raises(DataError, match=message):
        read_relations(small_mnre(tmp_path, changes))


def test_lines_of_twitter_are_read_and_other_is_misc(tmp_path):
    data = read_tagging(small_twitter(tmp_path / "tiny"))
    assert data.train == (
        TaggedSentence(("Ada", "reads", "Emma"), ("B-PER", "O", "B-MISC")),
        TaggedSentence(("Hello",), ("O",)),
    )
    assert (len(data.valid), len(data.test)) == (1, 1)


MALFORMED_TWITTER = {
    "one column": ("IMGID:1\nAda B-PER\n", r"train.txt:2: expected word, tab, tag; found 'Ada B-PER'"),
    "three columns": ("IMGID:1\nAda\tNNP\tO\n", r"train.txt:2: expected word, tab, tag"),
    "no word": ("IMGID:1\n\tO\n", r"train.txt:2: expected word, tab, tag"),
    "unknown tag": ("IMGID:1\nAda\tO\nBo\tB-PERSON\n", r"train.txt:3: unknown tag 'B-PERSON'"),
    "no picture": ("IMGID:1\nAda\tO\n\nBo\tO\n", r"train.txt:4: a sentence without its line IMGID"),
    "two pictures": ("IMGID:1\nIMGID:2\nAda\tO\n", r"train.txt:2: an IMGID line after that of line 1"),
    "picture inside": ("IMGID:1\nAda\tO\nIMGID:2\nBo\tO\n", r"train.txt:3: expected word, tab, tag; found 'IMGID:2'"),
    "cut off": ("IMGID:1\nAda\tO\n\nIMGID:2\n", r"train.txt:4: IMGID without a sentence"),
    "not UTF-8": (b"IMGID:1\nAda\tO\n\xff\tO\n", r"train.txt:3: byte 0xff"),
}


@pytest.mark.parametrize("case", MALFORMED_TWITTER)
def test_a_malformed_line_of_twitter_is_named(tmp_path, case):
    content, message = MALFORMED_TWITTER[case]
    with pytest.raises(DataError, match=message):
        read_tagging(small_twitter(tmp_path, {"train.txt": content}))


def add_pictures(folder):
    """Pictures of p1 and p2 with crops, and the dictionaries of the train split in both forms."""
    torch = pytest.importorskip("torch", reason="the dictionaries of crops are torch files")
    write_files(folder / "img_org" / "train", {"p1.jpg": b"", "p2.jpg": b""})
    write_files(folder / "img_vg" / "train" / "crops", {f"c{k}.jpg": b"" for k in range(5)})
    write_files(folder / "img_vg" / "val" / "crops", {"c0.jpg": b""})
    write_files(folder / "img_detect", {"d0.jpg": b"", "d1.jpg": b""})
    aux = ["c3.jpg", "gone.jpg", "c1.jpg", "c0.jpg"]
    torch.save({0: aux, "p1.jpg": aux}, folder / "tiny_train_dict.pth")
    torch.save({"p1": ["somewhere/else/d1.jpg", "..\\d0.jpg"], "p2": []}, folder / "train_img2crop.pth")
    return folder


@pytest.mark.parametrize(("make", "read"), [(small_mnre, read_relations), (small_twitter, read_tagging)])
def test_pictures_and_crops_are_found_by_the_dictionaries(tmp_path, make, read):
    folder = add_pictures(make(tmp_path))
    data = read(folder)
    first, second = data.train[0].images, data.train[1].images
    assert first.main == folder / "img_org" / "train" / "p1.jpg"
    # The first three names count; one of them is not there.
    assert first.aux == (
        folder / "img_vg" / "train" / "crops" / "c3.jpg",
        folder / "img_vg" / "train" / "crops" / "c1.jpg",
    )
    assert first.rcnn == (folder / "img_detect" / "d1.jpg", folder / "img_detect" / "d0.jpg")
    assert second == SentenceImages(folder / "img_org" / "train" / "p2.jpg")
    assert data.test[0].images == SentenceImages()


def test_pictures_may_lie_elsewhere_and_one_dictionary_may_serve_all_splits(tmp_path):
    folder = small_twitter(tmp_path / "texts")
    pictures = tmp_path / "pictures"
    write_files(pictures / "twitter2017_images", {"p1.jpg": b"", "p3.jpg": b""})
    write_files(pictures / "twitter17_detect", {"d.jpg": b""})
    torch = pytest.importorskip("torch", reason="the dictionaries of crops are torch files")
    torch.save({"p1": ["d.jpg"], "p3": ["d.jpg"]}, folder / "twitter17_img2crop.pth")
    data = read_tagging(folder, pictures)
    assert data.train[0].images.main == pictures / "twitter2017_images" / "p1.jpg"
    assert data.test[0].images.rcnn == (pictures / "twitter17_detect" / "d.jpg",)
    assert read_tagging(folder).train[0].images == SentenceImages()
    # That of another split says nothing about this one.
    (folder / "twitter17_img2crop.pth").rename(folder / "train_img2crop.pth")
    data = read_tagging(folder, pictures)
    assert data.train[0].images.rcnn
    assert not data.test[0].images.rcnn


class Trap:
    """Pickled, it would make a file; reading must refuse it."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_dictionary_with_code_in_it_is_refused_and_not_run(tmp_path):
    folder = add_pictures(small_mnre(tmp_path / "tiny"))
    sys.modules["torch"].save({0: [Trap(tmp_path / "trapped")]}, folder / "tiny_train_dict.pth")
    with pytest.raises(DataError, match=r"tiny_train_dict.pth cannot be loaded as plain lists"):
        read_relations(folder)
    assert not (tmp_path / "trapped").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (["c1.jpg"], r"holds a list; expected a dictionary"),
        ({0: "c1.jpg"}, r"'0' has c1.jpg; expected a list of file names"),
        ({0: [1]}, r"'0' has \[1\]"),
        ({0.5: ["c1.jpg"]}, r"'0.5' has"),
    ],
)
def test_a_dictionary_of_another_shape_is_an_error(tmp_path, content, message):
    folder = add_pictures(small_mnre(tmp_path))
    sys.modules["torch"].save(content, folder / "tiny_train_dict.pth")
    with pytest.raises(DataError, match=message):
        read_relations(folder)


def test_pictures_that_cannot_be_told_apart_are_an_error(tmp_path):
    folder = add_pictures(small_mnre(tmp_path / "two files"))
    write_files(folder / "img_org" / "more", {"p1.jpg": b""})
    with pytest.raises(DataError, match=r"img_org has several files for 'p1.jpg': more/p1.jpg and train/p1.jpg"):
        read_relations(folder)
    folder = add_pictures(small_mnre(tmp_path / "two folders"))
    (folder / "aux_images").mkdir()
    with pytest.raises(DataError, match=r"two folders of aux images: aux_images and img_vg"):
        read_relations(folder)
    folder = add_pictures(small_mnre(tmp_path / "two dictionaries"))
    shutil.copy(folder / "tiny_train_dict.pth", folder / "other_train_dict.pth")
    with pytest.raises(DataError, match=r"are both dictionaries of the same images"):
        read_relations(folder)


def golden_folder(folder, *names):
    for source, target in names:
        shutil.copy(CASES / source, folder / target)
    return folder


def test_the_golden_relations_have_the_golden_labels(tmp_path):
    names = [("mre_train.txt", f"mre_{split}.txt") for split in ("train", "val", "test")]
    data = read_relations(golden_folder(tmp_path, *names, ("mre_rel2id.json", "mre_rel2id.json")))
    expected = json.loads((CASES / "mre_expected.json").read_text())["items"]
    assert [data.relations.find(sentence.relation) for sentence in data.train] == [item["label"] for item in expected]
    assert data.test == data.train


def test_the_golden_tags_have_the_golden_labels(tmp_path):
    names = [("mner_train.txt", f"mner_{split}.txt") for split in ("train", "valid", "test")]
    data = read_tagging(golden_folder(tmp_path, *names))
    expected = json.loads((CASES / "mner_expected.json").read_text())
    special = {expected["label_map"][name] for name in ("X", "[CLS]", "[SEP]", "PAD")}
    assert len(data.train) == len(expected["items"])
    for sentence, item in zip(data.train, expected["items"], strict=True):
        labels = [label for label in item["labels"] if label not in special]
        assert [1 + TAGS.index(tag) for tag in sentence.tags][: len(labels)] == labels


def test_mnre_has_the_published_counts():
    data = read_relations(real("MNRE"))
    assert (len(data.train), len(data.valid), len(data.test)) == (12_247, 1_624, 1_614)
    assert len(data.relations) == 23
    assert data.relations[0] == "None"
    counts = Counter(sentence.relation for sentence in data.train)
    assert counts["None"] == sum(b"'relation': 'None'" in line for line in lines_of("MNRE", "mnre_train.txt.xz"))


def test_twitter_2017_has_the_published_counts():
    data = read_tagging(real("Twitter-2017"))
    assert (len(data.train), len(data.valid), len(data.test)) == (3_373, 723, 723)
    words = sum(len(sentence.words) for sentence in data.train)
    assert words == sum(b"\t" in line for line in lines_of("Twitter-2017", "train.txt.xz"))


def lines_of(name, file):
    return lzma.decompress((real(name) / file).read_bytes()).split(b"\n")
