"""Images of posts: the whole ones and crops, found by the dictionaries of the public data sets."""

from __future__ import annotations

import os
import shutil
import sys

import pytest

from mmkg_sdk.data import read_relations, read_tagging
from mmkg_sdk.data.sentences import (
    SentenceImages,
)
from mmkg_sdk.errors import DataError

from ...folders import small_mnre, small_twitter, write_files


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
