"""MNRE's and Twitter-2017's layouts: every spelling of a line, golden labels, published counts, malformed files."""

from __future__ import annotations

import json
import lzma
import shutil
from collections import Counter

import pytest

from mmkg_sdk.data import open_data, read_relations, read_tagging
from mmkg_sdk.data.sentences import (
    TAGS,
    RelationSentence,
    TaggedSentence,
)
from mmkg_sdk.errors import DataError
from tests.places import GOLDEN, REAL_DATA

from ..folders import mnre_line, small_mnre, small_twitter, write_files

CASES = GOLDEN / "mkgformer" / "text_prep"


def real(name):
    if not (REAL_DATA / name).is_dir():
        pytest.skip(f"the real data set {name} is not on this machine")
    return REAL_DATA / name


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
