"""Images by the names that data files give them, and what is said of those that are not there."""

from __future__ import annotations

import json
import os
import shutil
import warnings

import pytest

from mmkg_sdk.data import open_data
from mmkg_sdk.data.inspection.summary import summarize
from mmkg_sdk.data.layouts.images.named import NamedImages, warn_of_missing
from mmkg_sdk.errors import DataError
from mmkg_sdk.files.listing import walk_files

from ...folders import small_mnre, small_twitter, write_files

JUNK = {".DS_Store": b"\0", "._p1.jpg": b"\0", "Thumbs.db": b"\0"}


def read(folder, images=None):
    """The data, and what was said about images."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data = open_data(folder, images=images)
    return data, [str(warning.message) for warning in caught if "named images" in str(warning.message)]


def test_another_suffix_and_a_deeper_folder_will_do_but_the_name_itself_comes_first(tmp_path):
    write_files(tmp_path, {"a.jpg": b"", "a.png": b"", "b.PNG": b"", "c.txt": b"", "Cafe\u0301.webp": b""})
    write_files(tmp_path / "deep" / "er", {"d.jpeg": b""})
    images = NamedImages(tmp_path, walk_files(tmp_path))
    assert images.find("a.png") == tmp_path / "a.png"
    assert images.find("b.jpg") == tmp_path / "b.PNG"
    assert images.find("c.jpg") is None
    assert images.find("Café.jpg") == tmp_path / "Cafe\u0301.webp"
    assert images.find("some/where\\d.jpg") == tmp_path / "deep" / "er" / "d.jpeg"
    assert images.find("gone.jpg", "a.jpg") == tmp_path / "a.jpg"
    assert images.find("b") == tmp_path / "b.PNG"
    assert images.find("b.5") is None
    assert images.find("") is None
    with pytest.warns(
        UserWarning, match=r"^6 of 8 named images found in .*; looked for 'c.jpg', 'b.5', with any suffix"
    ):
        warn_of_missing([images])


def test_nothing_is_said_where_nothing_is_missing(tmp_path):
    images = NamedImages(tmp_path, walk_files(write_files(tmp_path, {"a.jpg": b""})))
    images.find("a.jpg")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_missing([images, NamedImages(tmp_path, lacks="a folder x")])


def test_a_name_of_several_files_is_an_error_when_it_is_asked_for(tmp_path):
    write_files(tmp_path / "more", {"a.jpg": b"", "c.png": b""})
    images = NamedImages(tmp_path, walk_files(write_files(tmp_path, {"a.jpg": b"", "b.jpg": b"", "c.webp": b""})))
    assert images.find("b.jpg") == tmp_path / "b.jpg"
    with pytest.raises(DataError, match=r"has several files for 'a.jpg': a.jpg and more/a.jpg. Keep one"):
        images.find("a.jpg")
    with pytest.raises(DataError, match=r"has several files for 'c.jpg': c.webp and more/c.png"):
        images.find("c.jpg")


@pytest.mark.parametrize(("make", "named"), [(small_mnre, 4), (small_twitter, 3)])
def test_posts_whose_folder_of_images_is_not_there_are_counted(tmp_path, make, named):
    folder = make(tmp_path / "set")
    data, said = read(folder)
    assert said == [
        f"0 of {named} named images found in {folder}; looked for a folder called images or *_images, or with org in "
        "its name."
    ]
    write_files(folder / "post_images" / "more", {"p1.png": b"", "p2.webp": b""})
    data, said = read(folder)
    assert said[0].startswith(f"2 of {named} named images found in {folder / 'post_images'}; looked for 'p3.jpg'")
    assert data.train[0].images.main == folder / "post_images" / "more" / "p1.png"
    # Twitter's first image goes with a sentence of valid, too.
    assert summarize(data)["sentences_with_image"] == (2 if make is small_mnre else 3)


def test_what_systems_leave_in_folders_is_no_image(tmp_path):
    folder = small_twitter(tmp_path / "set")
    for place in ("twitter_images", "twitter_images/more", "__MACOSX", "__MACOSX/twitter_images"):
        write_files(folder / place, JUNK)
    write_files(folder / "twitter_images", {"p1.jpg": b"", "p2.jpg": b""})
    write_files(folder / "twitter_images" / "more", {"p3.jpg": b""})
    write_files(folder, {"._train.txt": b"\0", "._x_train_dict.pth": b"\0", ".DS_Store": b"\0"})
    data, said = read(folder)
    assert said == []
    images = [one.images.main for split in ("train", "valid", "test") for one in data.split(split)]
    names = ["p1.jpg", "p2.jpg", "p1.jpg", "more/p3.jpg"]
    assert images == [folder / "twitter_images" / name for name in names]


def test_a_pipe_among_images_is_none(tmp_path):
    folder = small_twitter(tmp_path / "set")
    (folder / "twitter_images").mkdir()
    os.mkfifo(folder / "twitter_images" / "p1.jpg")
    data, said = read(folder)
    assert data.train[0].images.main is None
    assert said[0].startswith("0 of 3 named images found")


def test_crops_that_are_named_and_not_there_are_counted(tmp_path):
    torch = pytest.importorskip("torch", reason="the dictionaries of crops are torch files")
    folder = small_mnre(tmp_path / "set")
    write_files(folder / "img_org", {f"p{k}.jpg": b"" for k in range(1, 5)})
    write_files(folder / "img_vg", {"c1.png": b""})
    torch.save({0: ["c1.jpg", "c2.jpg"]}, folder / "tiny_train_dict.pth")
    data, said = read(folder)
    assert data.train[0].images.aux == (folder / "img_vg" / "c1.png",)
    assert said == [
        f"1 of 2 named images found in {folder / 'img_vg'}; looked for 'c2.jpg', with any suffix of an image, in "
        "sub-folders too."
    ]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (
            ["tiny_train_dict.pth"],
            "crops are named by tiny_train_dict.pth, but {} has no folder with aux in its name or vg at",
        ),
        (
            ["a_img2crop.pth", "b_img2crop.pth"],
            "crops are named by a_img2crop.pth, b_img2crop.pth, but {} has no folder with",
        ),
    ],
)
def test_dictionaries_of_crops_without_a_folder_of_crops_are_said_once(tmp_path, names, expected):
    folder = small_mnre(tmp_path / "set", dict.fromkeys(names, b""))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        open_data(folder)
    said = [str(warning.message) for warning in caught if "no crop is read" in str(warning.message)]
    assert [sentence.startswith(expected.format(folder)) for sentence in said] == [True]


def tiny_mimic(folder):
    entities = [{"id": k, "entity_name": f"E{k}", "image_list": [f"Q{k}_0.jpg"]} for k in range(3)]
    mention = {"mentions": "E", "sentence": "E.", "imgPath": "n.1.png", "answer": "Q0"}
    files = {
        "kb_entity": entities,
        "qid2id": {f"Q{k}": k for k in range(3)},
        "x_train": [mention, mention | {"imgPath": ""}],
        "x_dev": [],
        "x_test": [mention | {"imgPath": "m.png"}],
    }
    return write_files(folder, {f"{name}.json": json.dumps(content) for name, content in files.items()})


def test_images_of_mimic_are_counted_and_found_deeper_and_with_other_suffixes(tmp_path):
    folder = tiny_mimic(tmp_path / "set")
    data, said = read(folder)
    assert said == [
        f"0 of 3 named images found in {folder}; looked for a folder kb_image or kb_images.",
        f"0 of 2 named images found in {folder}; looked for a folder mention_image or mention_images.",
    ]
    write_files(folder / "kb_image", {"Q0_0.jpg": b"", **JUNK})
    write_files(folder / "kb_image" / "more", {"Q1_0.png": b""})
    write_files(folder / "mention_images", {"n.1.png": b"", "m.webp": b"", **JUNK})
    write_files(folder, {"._x_train.json": b"\0"})
    data, said = read(folder)
    assert data.images == (folder / "kb_image" / "Q0_0.jpg", folder / "kb_image" / "more" / "Q1_0.png", None)
    mentions = folder / "mention_images"
    assert [one.image for one in (*data.train, *data.test)] == [mentions / "n.1.png", None, mentions / "m.webp"]
    assert said == [
        f"2 of 3 named images found in {folder / 'kb_image'}; looked for 'Q2_0.jpg', with any suffix of an image, in "
        "sub-folders too."
    ]
    # MIMIC's rule comes first.
    shutil.copy(mentions / "m.webp", mentions / "n.jpg")
    assert read(folder)[0].train[0].image == mentions / "n.jpg"


def test_images_of_melbench_are_counted(tmp_path):
    sample = {"sentence": "Ada.", "mentions": "Ada", "answer": "Q1"}
    files = {
        "T-MEL.json": {"a": sample | {"imgPath": "a.jpg"}, "b": sample | {"imgPath": "b.jpg"}, "c": sample},
        "splits.json": {"train": ["a"], "dev": ["b"], "test": ["c"]},
        "qid2ne.json": {"Q1": "Ada"},
        "qid2abs.json": {},
    }
    folder = write_files(tmp_path, {name: json.dumps(content) for name, content in files.items()})
    write_files(folder, {"._T-MEL.json": b"\0"})
    write_files(folder / "mention_image" / "train", {"a.png": b""})
    data, said = read(folder)
    assert data.train[0].image == folder / "mention_image" / "train" / "a.png"
    assert said == [
        f"1 of 2 named images found in {folder / 'mention_image'}; looked for 'b.jpg', with any suffix of an image, in "
        "sub-folders too."
    ]
