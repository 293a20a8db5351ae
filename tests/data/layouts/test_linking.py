"""Entity linking data: our own layout, MIMIC's, the public originals, and what malformed files are answered with."""

from __future__ import annotations

import gzip
import json
import lzma
import tempfile
import warnings
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmkg_sdk.data import read_linking, write_linking
from mmkg_sdk.data.mentions import LabelledMention, LinkingData
from mmkg_sdk.errors import DataError
from mmkg_sdk.files.labels import Labels
from tests.places import REAL_DATA

from ..folders import own_linking, pack_files, write_files


def real(name):
    if not (REAL_DATA / name).is_dir():
        pytest.skip(f"the real data set {name} is not on this machine")
    return REAL_DATA / name


def test_our_own_layout_is_read(tmp_path):
    data = read_linking(own_linking(tmp_path / "small"))
    assert data.name == "small"
    assert list(data.entities) == ["Georgia (Q230)", "Georgia (Q1428)", "Tbilisi"]
    assert data.names == ("Georgia", "Georgia", "Tbilisi")
    assert data.texts == ("A country in the Caucasus.", "A state of the south.\nIts capital is Atlanta.", "")
    assert data.images == (None, tmp_path / "small" / "images" / "state.png", None)
    post = tmp_path / "small" / "images" / "post.png"
    assert data.train[0] == LabelledMention("Georgia", "We drank wine all over Georgia.", post, 0)
    assert data.train[1].entity == 2
    assert data.valid == ()
    assert [mention.entity for mention in data.test] == [1]


def test_pictures_of_our_own_layout_may_lie_elsewhere(tmp_path):
    folder = own_linking(tmp_path / "small")
    (folder / "images").rename(tmp_path / "images")
    with pytest.raises(DataError, match=r"entities.tsv:3: image 'images/state.png' is not in"):
        read_linking(folder)
    assert read_linking(folder, tmp_path).images[1] == tmp_path / "images" / "state.png"


@pytest.mark.parametrize(("pack", "suffix"), [(lzma.compress, ".xz"), (gzip.compress, ".gz")])
def test_compressed_files_read_like_plain_ones(tmp_path, pack, suffix):
    plain = read_linking(own_linking(tmp_path / "small"))
    assert read_linking(pack_files(own_linking(tmp_path / "small"), pack, suffix)) == plain


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
label = text.filter(lambda name: name != "" and not set(name) & set("\n\r"))


@st.composite
def linking_data(draw):
    labels = draw(st.lists(label, min_size=1, max_size=5, unique=True))
    fields = [tuple(draw(text) for _ in labels) for _ in range(2)]
    mention = st.builds(LabelledMention, text, text, st.none(), st.integers(0, len(labels) - 1))
    splits = [tuple(draw(st.lists(mention, min_size=least, max_size=4))) for least in (1, 0, 0)]
    return LinkingData("name", Labels(labels), *fields, (None,) * len(labels), *splits)


@given(linking_data())
@settings(deadline=None)  # it waits for the disk
def test_reading_what_was_written_gives_the_same_data(data):
    with tempfile.TemporaryDirectory() as temporary:
        write_linking(data, Path(temporary) / "name")
        assert read_linking(Path(temporary) / "name") == data


def test_pictures_are_written_once_each(tmp_path):
    data = read_linking(own_linking(tmp_path / "small"))
    shared = data.images[1]
    data = LinkingData(
        data.name, data.entities, data.names, data.texts, data.images,
        (*data.train, LabelledMention("Georgia", "Atlanta, Georgia", shared, 1)), data.valid, data.test,
    )  # fmt: skip
    write_linking(data, tmp_path / "copy" / "small")
    copy = read_linking(tmp_path / "copy" / "small")
    assert copy.images[1] == copy.train[2].image
    assert copy.images[1].read_bytes() == b"state"
    assert copy.train[0].image.read_bytes() == b"post"
    assert len(list((tmp_path / "copy" / "small" / "images").iterdir())) == 2


def test_nothing_is_left_when_writing_fails(tmp_path):
    data = read_linking(own_linking(tmp_path / "small"))
    (tmp_path / "small" / "images" / "post.png").unlink()
    with pytest.raises(DataError, match=r"post.png cannot be copied"):
        write_linking(data, tmp_path / "out" / "small")
    surrogate = LinkingData(
        "x", Labels(["a"]), ("\ud800",), ("",), (None,), (LabelledMention("", "", None, 0),), (), ()
    )
    with pytest.raises(DataError, match="cannot be written as UTF-8"):
        write_linking(surrogate, tmp_path / "out" / "small")
    assert not list((tmp_path / "out").iterdir())


ENTITIES = "label\tname\ttext\timage\n"
MENTIONS = "mention\tsentence\tentity\timage\n"
MALFORMED_OWN = {
    "other header": ({"entities.tsv": "name\tlabel\ttext\timage\n"}, r"entities.tsv:1: the header is 'name\\tlabel"),
    "no header": ({"mentions-train.tsv": "a\tb\tTbilisi\t\n"}, r"mentions-train.tsv:1: the header is 'a\\tb"),
    "three columns": ({"entities.tsv": ENTITIES + "a\tb\tc\n"}, r"entities.tsv:2: expected 4 columns"),
    "five columns": ({"mentions-test.tsv": MENTIONS + "a\tb\tTbilisi\t\t\n"}, r"mentions-test.tsv:2: expected 4 col"),
    "blank line": ({"entities.tsv": ENTITIES + "\na\tb\tc\t\n"}, r"entities.tsv:2: expected 4 columns"),
    "label twice": (
        {"entities.tsv": ENTITIES + "a\tb\tc\t\na\td\te\t\n"},
        r"entities.tsv:3: label 'a' stands at .*entities.tsv:2 already",
    ),
    "empty label": ({"entities.tsv": ENTITIES + "\tb\tc\t\n"}, r"entities.tsv:2: empty label"),
    "no entity": ({"entities.tsv": ENTITIES}, r"entities.tsv lists no entity"),
    "empty file": ({"entities.tsv": ""}, r"entities.tsv:1: the header is ''"),
    "no training mention": ({"mentions-train.tsv": MENTIONS}, r"mentions-train.tsv has no mention"),
    "unknown entity": (
        {"mentions-test.tsv": MENTIONS + "a\tb\tTbilissi\t\n"},
        r"mentions-test.tsv:2: entity 'Tbilissi' is not in entities.tsv; near: 'Tbilisi'",
    ),
    "split missing": ({"mentions-valid.tsv": None}, r"no mentions-valid.tsv"),
    "not UTF-8": ({"mentions-train.tsv": MENTIONS.encode() + b"\xff\t\t\t\n"}, r"mentions-train.tsv:2: byte 0xff"),
    "absolute image": ({"entities.tsv": ENTITIES + "a\tb\tc\t/etc/passwd\n"}, r"entities.tsv:2: image '/etc/passwd'"),
    "image above": ({"entities.tsv": ENTITIES + "a\tb\tc\timages/../../x\n"}, r"entities.tsv:2: image .* is no path"),
    "image with backslash": ({"entities.tsv": ENTITIES + "a\tb\tc\t..\\x\n"}, r"entities.tsv:2: image .* is no path"),
    "image of a drive": ({"entities.tsv": ENTITIES + "a\tb\tc\tC:x.png\n"}, r"entities.tsv:2: image .* is no path"),
    "image with NUL": ({"entities.tsv": ENTITIES + "a\tb\tc\tx\0\n"}, r"entities.tsv:2: image .* is no path"),
    "image of 300 characters": (
        {"entities.tsv": ENTITIES + f"a\tb\tc\t{'x' * 300}\n"},
        r"entities.tsv:2: image .*not in",
    ),
    "image is a folder": (
        {"entities.tsv": ENTITIES + "a\tb\tc\timages\n"},
        r"entities.tsv:2: image 'images' is not in",
    ),
}


@pytest.mark.parametrize("case", MALFORMED_OWN)
def test_a_malformed_file_of_our_own_is_named_with_its_line(tmp_path, case):
    changes, message = MALFORMED_OWN[case]
    with pytest.raises(DataError, match=message):
        read_linking(own_linking(tmp_path, changes))


def test_a_folder_without_linking_data_says_what_was_looked_for(tmp_path):
    with pytest.raises(DataError, match="is not a folder"):
        read_linking(tmp_path / "absent")
    with pytest.raises(DataError, match=r"neither entities.tsv .*, kb_entity.json"):
        read_linking(tmp_path)
    with pytest.raises(DataError, match="the images were to be there"):
        read_linking(own_linking(tmp_path / "small"), tmp_path / "absent")
    with pytest.raises(DataError, match=r"entities.tsv and kb_entity.json, 2 layouts"):
        read_linking(own_linking(tmp_path / "both", {"kb_entity.json": "[]"}))


KB = [
    {"id": 2, "type": "entity", "entity_name": "S%C3%A3o_Tom%C3%A9", "attr": "", "image_list": []},
    {"id": 0, "type": "entity", "entity_name": "Paris", "attr": "A city.", "image_list": ["Q90_0.jpg", "Q90_1.jpg"]},
    {"id": 1, "type": "entity", "entity_name": "Paris", "attr": "A man.", "image_list": ["gone.jpg"]},
]
QIDS = {"Q90": 0, "Q167646": 1, "Q3921": 2}


def mention(**changes):
    return {
        "id": "7",
        "mentions": "Par%69s",
        "sentence": "Paris at night.",
        "imgPath": "n.1.png",
        "answer": "Q90",
    } | changes


def small_mimic(folder, **changes):
    content = {
        "kb_entity": KB,
        "qid2id": QIDS,
        "Tiny_train": [mention(), mention(answer="nil"), mention(answer="Q3921", imgPath="")],
        "Tiny_dev": [],
        "Tiny_test": [mention(answer="Q167646", imgPath="absent.png")],
    } | changes
    write_files(folder / "kb_image", {"Q90_0.jpg": b"city"})
    write_files(folder / "mention_images", {"n.jpg": b"night"})
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in content.items()}
    return write_files(folder, {f"{name}.json": value for name, value in texts.items()})


def test_files_of_mimic_are_read_in_id_order_without_nil_mentions(tmp_path):
    folder = small_mimic(tmp_path / "tiny")
    with pytest.warns(UserWarning, match=r"Tiny_train.json: 1 of 3 mentions have no entity"):
        data = read_linking(folder)
    assert list(data.entities) == ["Paris (Q90)", "Paris (Q167646)", "São_Tomé"]
    assert data.names == ("Paris", "Paris", "São_Tomé")
    assert data.texts == ("A city.", "A man.", "")
    assert data.images == (folder / "kb_image" / "Q90_0.jpg", None, None)
    assert data.train == (
        LabelledMention("Paris", "Paris at night.", folder / "mention_images" / "n.jpg", 0),
        LabelledMention("Paris", "Paris at night.", None, 2),
    )
    assert data.valid == ()
    assert data.test[0].entity == 1
    assert data.test[0].image is None


def test_pictures_of_mimic_may_lie_elsewhere(tmp_path):
    folder = small_mimic(tmp_path / "tiny", Tiny_train=[mention()])
    for name in ("kb_image", "mention_images"):
        (folder / name).rename(tmp_path / name)
    assert read_linking(folder).images[0] is None
    assert read_linking(folder, tmp_path).images[0] == tmp_path / "kb_image" / "Q90_0.jpg"


def test_a_name_in_a_data_file_cannot_leave_the_picture_folder(tmp_path):
    write_files(tmp_path, {"secret.jpg": b"secret"})
    outside = [{**KB[1], "image_list": ["../../secret.jpg"]}, KB[0], KB[2]]
    train = [mention(imgPath="../../secret.jpg"), mention(imgPath=str(tmp_path / "secret.jpg"))]
    data = read_linking(small_mimic(tmp_path / "tiny", kb_entity=outside, Tiny_train=train))
    assert data.images == (None, None, None)
    assert [found.image for found in data.train] == [None, None]


MALFORMED_MIMIC = {
    "truncated": ({"kb_entity": '[{"id": 0,'}, r"kb_entity.json:1: not valid JSON"),
    "nested": ({"kb_entity": "[" * 200_000}, r"kb_entity.json: JSON that cannot be read"),
    "NaN": ({"qid2id": '{"Q90": NaN}'}, r"qid2id.json: NaN is not JSON"),
    "an object": ({"kb_entity": {}}, r"kb_entity.json: expected one JSON list, found dict"),
    "a list of texts": ({"Tiny_test": ["x"]}, r"Tiny_test.json: item 0 \(from 0\) is str; expected an object"),
    "empty": ({"kb_entity": []}, r"kb_entity.json lists no entity"),
    "empty file": ({"kb_entity": ""}, r"kb_entity.json:1: not valid JSON"),
    "id twice": ({"kb_entity": [KB[1], KB[1]]}, r"kb_entity.json: item 1 \(from 0\): id 0 was given before"),
    "id out of range": (
        {"kb_entity": [KB[1], KB[0]]},
        r"kb_entity.json: item 1 \(from 0\): id is 2; expected .* 0 to 1",
    ),
    "id a bool": ({"kb_entity": [{**KB[1], "id": False}]}, r"item 0 \(from 0\): id is False"),
    "no name": (
        {"kb_entity": [{"id": 0}, KB[0], KB[2]]},
        r"kb_entity.json: id 0: 'entity_name' is missing; found 'id'",
    ),
    "attributes in a list": (
        {"kb_entity": [{**KB[1], "attr": ["x"]}, KB[0], KB[2]]},
        r"kb_entity.json: id 0: 'attr' is .*; expected a text",
    ),
    "images in a text": (
        {"kb_entity": [{**KB[1], "image_list": "x"}, KB[0], KB[2]]},
        r"id 0: 'image_list' is 'x'; expected a list",
    ),
    "row out of range": ({"qid2id": {"Q1": 3}}, r"qid2id.json: 'Q1' is 3; expected a whole number from 0 to 2"),
    "QID twice": ({"qid2id": '{"Q1": 0, "Q1": 1}'}, r"qid2id.json: key 'Q1' stands there twice"),
    "unknown answer": (
        {"Tiny_dev": [mention(answer="Q5")]},
        r"Tiny_dev.json: item 0 \(from 0\): answer 'Q5' is not in",
    ),
    "answer a number": (
        {"Tiny_dev": [mention(answer=5)]},
        r"Tiny_dev.json: item 0 .*: 'answer' is '5'; expected a text",
    ),
    "surrogate": ({"Tiny_dev": [mention(sentence="\ud800")]}, r"item 0 .*: 'sentence' holds half of a surrogate pair"),
    "surrogate in a QID": ({"qid2id": {"Q\ud83c": 0}}, r"qid2id.json: key 'Q\\ud83c' holds half of a surrogate pair"),
    "surrogate in a picture's name": (
        {"kb_entity": [{**KB[1], "image_list": ["\udf89.jpg"]}, KB[0], KB[2]]},
        r"id 0: 'image_list' holds half of a surrogate pair",
    ),
    "only nil": ({"Tiny_train": [mention(answer="nil")]}, r"Tiny_train.json has no mention with an entity"),
    "two test lists": ({"Other_test": []}, r"expected one file \*_test.json .*found Other_test.json, Tiny_test.json"),
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("case", MALFORMED_MIMIC)
def test_a_malformed_file_of_mimic_is_named_with_its_item(tmp_path, case):
    changes, message = MALFORMED_MIMIC[case]
    with pytest.raises(DataError, match=message):
        read_linking(small_mimic(tmp_path, **changes))


SAMPLES = {
    "s1": {"id": "s1", "sentence": "Ada met Bo.", "mentions": ["Ada", "Bo"], "answer": ["Q1", "Q2"]},
    "s2": {"id": "s2", "sentence": "Bo sleeps.", "mentions": "Bo", "answer": "Q3"},
    "s3": {"id": "s3", "sentence": "Ada reads.", "mentions": ["Ada"], "answer": ["Q1"]},
}


def small_mel(folder, **changes):
    content = {
        "Tiny-MEL": SAMPLES,
        "splits": {"train": ["s1"], "dev": ["s2"], "test": ["s3"]},
        "qid2ne": {"Q3": "Bo", "Q2": "Bo", "Q1": "Ada", "Q9": "Nobody"},
        "qid2abs": {"Q1": "A reader.", "Q3": "A cat."},
    } | {name.replace("_", "-"): value for name, value in changes.items()}
    return write_files(folder, {f"{name}.json": json.dumps(value) for name, value in content.items()})


def test_a_public_sample_gives_one_mention_each_and_every_named_entity_is_a_candidate(tmp_path):
    data = read_linking(small_mel(tmp_path / "tiny"))
    assert list(data.entities) == ["Bo (Q3)", "Bo (Q2)", "Ada", "Nobody"]
    assert data.texts == ("A cat.", "", "A reader.", "")
    assert [(found.text, found.entity) for found in data.train] == [("Ada", 2), ("Bo", 1)]
    assert [(found.text, found.entity) for found in data.valid] == [("Bo", 0)]
    assert data.test[0].sentence == "Ada reads."


def test_without_a_dev_list_the_last_eighth_of_training_is_the_valid_split(tmp_path):
    samples = {f"s{k}": {"sentence": f"{k}", "mentions": "Bo", "answer": "Q3"} for k in range(18)}
    splits = {"train": [f"s{k}" for k in range(17)], "test": ["s17"]}
    folder = small_mel(tmp_path, Tiny_MEL=samples, splits=splits)
    with pytest.warns(UserWarning, match="no dev list; the last 2 of 17 training samples"):
        data = read_linking(folder)
    assert [found.sentence for found in data.train] == [str(k) for k in range(15)]
    assert [found.sentence for found in data.valid] == ["15", "16"]


def test_ids_without_a_sample_and_samples_of_two_splits_are_warned_of(tmp_path):
    splits = {"train": ["s1", "s2", "gone"], "val": ["s2"], "test": ["s3", "s2"]}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data = read_linking(small_mel(tmp_path, splits=splits))
    messages = " ".join(str(warning.message) for warning in caught)
    assert "1 of 6 ids have no sample" in messages
    assert "2 ids stand there a second time" in messages
    assert [[found.text for found in data.split(name)] for name in ("train", "valid", "test")] == [
        ["Ada", "Bo"], [], ["Ada", "Bo"],
    ]  # fmt: skip


MALFORMED_MEL = {
    "lengths": ({"Tiny_MEL": {"s1": {**SAMPLES["s1"], "answer": ["Q1"]}}}, r"sample 's1': 2 mentions and 1 answers"),
    "unknown answer": (
        {"Tiny_MEL": {**SAMPLES, "s1": {**SAMPLES["s3"], "answer": "Q8"}}},
        r"'s1': answer 'Q8' has no name",
    ),
    "no sentence": ({"Tiny_MEL": {"s1": {"mentions": "x", "answer": "Q1"}}}, r"sample 's1': 'sentence' is missing"),
    "sample a text": ({"Tiny_MEL": {"s1": "x"}}, r"sample 's1' is str; expected an object"),
    "mention a number": (
        {"Tiny_MEL": {"s1": {**SAMPLES["s1"], "mentions": [1, 2]}}},
        r"'mentions' is '1'; expected a text",
    ),
    "name a number": ({"qid2ne": {"Q1": 4}}, r"qid2ne.json: 'Q1' is '4'; expected a text"),
    "surrogate in a QID": ({"qid2ne": {"Q\ud83c": "x"}}, r"qid2ne.json: key 'Q\\ud83c' holds half of a surrogate pair"),
    "surrogate in a sample id": (
        {"Tiny_MEL": {"\ud83c": {}}},
        r"Tiny-MEL.json: key '\\ud83c' holds half of a surrogate",
    ),
    "surrogate in a mention": (
        {"Tiny_MEL": {"s1": {**SAMPLES["s1"], "mentions": ["Ada", "\ud83c"]}}},
        r"sample 's1': 'mentions' holds half of a surrogate pair",
    ),
    "unknown split": ({"splits": {"train": [], "tset": []}}, r"splits.json: split 'tset'"),
    "split twice": ({"splits": {"train": [], "dev": [], "val": []}}, r"splits.json: split 'val'"),
    "no test": ({"splits": {"train": []}}, r"splits.json has the splits train; expected train, test"),
    "ids in a text": ({"splits": {"train": "s1", "test": []}}, r"'train' must be a list of sample ids, found s1"),
    "ids in a list": ({"splits": {"train": [["s1"]], "test": []}}, r"'train' must be a list of sample ids"),
    "nothing to train": ({"splits": {"train": [], "dev": [], "test": ["s1"]}}, r"no training sample"),
    "two sample lists": ({"Other_MEL": {}}, r"one sample list \*-MEL.json, found Other-MEL.json, Tiny-MEL.json"),
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("case", MALFORMED_MEL)
def test_a_malformed_public_file_is_named_with_its_sample(tmp_path, case):
    changes, message = MALFORMED_MEL[case]
    with pytest.raises(DataError, match=message):
        read_linking(small_mel(tmp_path, **changes))


def small_diverse(folder, items, splits):
    content = {"WikiDiverse": items, "ids_split_mappings": {"Other": {}, "WikiDiverse": splits}}
    return write_files(folder, {f"{name}.json": json.dumps(value) for name, value in content.items()})


def test_the_candidates_of_wikidiverse_are_its_answers_by_their_most_frequent_title(tmp_path):
    rows = [
        (5, "Ada and Bo.", ["Ada", "Bo"], ["Ada L", "Bo"], ["Q1", "Q2"]),
        (6, "Ada.", ["Ada"], ["Ada Vale"], ["Q1"]),
        (7, "She.", ["She"], ["Ada Vale"], ["Q1"]),
    ]
    keys = ("id", "sentence", "mention", "entity", "answer")
    items = [dict(zip(keys, row, strict=True)) | {"imgPath": f"m_{row[0]}.jpg"} for row in rows]
    folder = small_diverse(tmp_path / "d", items, {"train": [5], "val": [6], "test": [7]})
    pictures = write_files(tmp_path / "pictures" / "mention_image", {"m_6.jpg": b"ada"})
    data = read_linking(folder, tmp_path / "pictures")
    assert list(data.entities) == ["Ada Vale", "Bo"]
    assert data.texts == ("", "")
    assert [found.entity for found in data.train] == [0, 1]
    assert [found.image for found in (*data.train, *data.valid, *data.test)] == [None, None, pictures / "m_6.jpg", None]

    with pytest.raises(DataError, match=r"item 1 \(from 0\): id 5 was given before, to .*item 0"):
        read_linking(small_diverse(tmp_path / "twice", [items[0], items[0]], {}))
    with pytest.raises(DataError, match=r"item 0 \(from 0\): id is '5'"):
        read_linking(small_diverse(tmp_path / "text", [{**items[0], "id": "5"}], {}))
    with pytest.raises(DataError, match=r"item 0 \(from 0\): 1 entities and 2 answers"):
        read_linking(small_diverse(tmp_path / "titles", [{**items[0], "entity": ["Ada"]}], {}))
    with pytest.raises(DataError, match=r"expected an object under 'WikiDiverse'"):
        read_linking(small_diverse(tmp_path / "splits", items, []))


# Candidates and mentions, from the README of the data; WikiDiverse has 14,851 mentions.
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("name", "entities", "mentions"),
    [("WikiMEL", 18_880, 18_088 + 2_627 + 5_131), ("RichpediaMEL", 17_805, 17_805), ("WikiDiverse", 7_643, 14_851)],
)
def test_the_public_originals_have_the_published_counts(name, entities, mentions):
    data = read_linking(real(name))
    assert len(data.entities) == len(set(data.entities)) == entities
    assert len(data.train) + len(data.valid) + len(data.test) == mentions


def test_wikimel_keeps_its_splits_and_says_which_samples_are_missing():
    with pytest.warns(UserWarning, match="2,281 of 24,417 ids have no sample"):
        data = read_linking(real("WikiMEL"))
    assert (len(data.train), len(data.valid), len(data.test)) == (18_088, 2_627, 5_131)
    row = data.entities.find("Oscar Robertson")
    assert any(found.text == "Robertson" and found.entity == row for found in (*data.train, *data.valid, *data.test))
    assert all(data.texts)


def test_repeated_names_of_richpediamel_are_told_apart():
    with pytest.warns(UserWarning, match="no dev list; the last 1,780 of 14,244"):
        data = read_linking(real("RichpediaMEL"))
    assert (len(data.train), len(data.valid), len(data.test)) == (14_244 - 1_780, 1_780, 3_561)
    assert {"Adam Smith (Q9381)", "George Washington"} <= set(data.entities)


def test_no_sentence_of_wikidiverse_is_trained_on_and_tested():
    with pytest.warns(UserWarning, match="26 ids stand there a second time"):
        data = read_linking(real("WikiDiverse"))
    splits = [{found.sentence for found in data.split(name)} for name in ("train", "test")]
    # A caption that two pictures share is another sample; there are few.
    assert len(splits[0] & splits[1]) < 20
