"""Atomic writing and label files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

import pytest

from mmkg_sdk.errors import DataError
from mmkg_sdk.files.atomic import write_atomically
from mmkg_sdk.files.labels import Labels, read_labels, write_labels


def test_a_write_replaces_the_file_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["file"]


def test_an_error_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")
    with pytest.raises(KeyboardInterrupt):
        write_half_of(path)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def write_half_of(path: Path) -> None:
    def write(file: BinaryIO) -> None:
        file.write(b"half of the n")
        raise KeyboardInterrupt

    write_atomically(path, write)


def test_labels_with_any_character_but_a_line_break_survive(tmp_path: Path) -> None:
    labels = Labels(["Øre", " leading space", "tab\tinside", "line\u2028separator", "next\x85line", "\x0b", "𝔘", "0"])
    write_labels(tmp_path / "labels", labels)
    assert read_labels(tmp_path / "labels") == labels


def test_the_last_line_feed_may_lack(tmp_path: Path) -> None:
    (tmp_path / "labels").write_bytes(b"a\nb")
    assert list(read_labels(tmp_path / "labels", "relation")) == ["a", "b"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n", ":1: empty line"),
        (b"a\n\nb\n", ":2: empty line"),
        (b"a\nb\n\n", ":3: empty line"),
        (b"a\nb\na\n", ":3: relation label 'a' stands in line 1 already"),
        (b"a\r\nb\r\n", ":1: 'a.r' holds a carriage return"),
        (b"a\n\xff\xfe\n", ":2: .* is not UTF-8"),
        (b"\xef\xbb\xbfa\n", ":1: the line begins with a byte order mark"),
    ],
)
def test_a_bad_label_file_is_an_error_with_its_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "labels").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_labels(tmp_path / "labels", "relation")


def test_a_label_file_that_is_absent_or_a_folder_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "labels", tmp_path):
        with pytest.raises(DataError, match=f"cannot read {path}"):
            read_labels(path)


def test_a_label_without_utf8_form_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"entity label 1 is .* no UTF-8 form"):
        write_labels(tmp_path / "labels", Labels(["a", "\ud800"]))
    assert os.listdir(tmp_path) == []
