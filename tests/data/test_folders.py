"""Folders that appear complete or not at all."""

from __future__ import annotations

import os
import sys

import pytest

from mmkg_sdk.data.folders import new_folder
from mmkg_sdk.errors import DataError


def test_a_folder_gets_its_name_when_the_block_ends_well(tmp_path):
    with new_folder(tmp_path / "deep" / "out") as place:
        (place / "file").write_text("content")
        assert not (tmp_path / "deep" / "out").exists()
    assert (tmp_path / "deep" / "out" / "file").read_text() == "content"
    assert os.listdir(tmp_path / "deep") == ["out"]


def test_a_failure_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), new_folder(tmp_path / "out"):
        1 / 0  # noqa: B018
    assert not os.listdir(tmp_path)


def test_a_folder_that_someone_else_fills_meanwhile_is_left_alone(tmp_path):
    def write_while_another_does():
        with new_folder(tmp_path / "out") as place:
            (place / "file").write_text("mine")
            (tmp_path / "out").mkdir()
            (tmp_path / "out" / "file").write_text("theirs")

    with pytest.raises(DataError, match="cannot be put in place"):
        write_while_another_does()
    assert (tmp_path / "out" / "file").read_text() == "theirs"
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_the_finished_folder_has_the_usual_rights(tmp_path):
    (tmp_path / "usual").mkdir()
    with new_folder(tmp_path / "out"):
        pass
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_place_where_nothing_can_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be made"), new_folder(tmp_path / "file" / "out"):
        pass
