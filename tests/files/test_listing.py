"""What counts as a file of a data folder."""

from __future__ import annotations

import os

import pytest

from mmkg_sdk.files.listing import list_files, list_folders, walk_files

STRAYS = (".DS_Store", "._a.jpg", ".hidden", "Thumbs.db", "thumbs.DB", "desktop.ini", "Desktop.ini")


@pytest.fixture
def folder(tmp_path):
    for place in (tmp_path, tmp_path / "train", tmp_path / "train" / "deep", tmp_path / "__MACOSX", tmp_path / ".git"):
        place.mkdir(exist_ok=True)
        for name in ("a.jpg", *STRAYS):
            (place / name).touch()
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "gone.jpg").symlink_to("nowhere")
    (tmp_path / "link.jpg").symlink_to("a.jpg")
    return tmp_path


def test_strays_pipes_and_broken_links_are_no_files(folder):
    assert list_files(folder) == [folder / "a.jpg", folder / "link.jpg"]
    assert list_folders(folder) == [folder / "train"]


def test_a_walk_goes_to_every_depth_and_leaves_out_what_it_is_told_to(folder):
    train = folder / "train"
    found = [folder / "a.jpg", folder / "link.jpg", train / "a.jpg", train / "deep" / "a.jpg"]
    assert list(walk_files(folder)) == found
    assert list(walk_files(folder, without={"deep"})) == found[:3]
