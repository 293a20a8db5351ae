"""Bundles, runs and data sets as small folders of three files: one way to write, one way to test."""

from __future__ import annotations

import os
from pathlib import Path

from mmkg_sdk.data.folders import DATA_SET
from mmkg_sdk.export.bundle_writer import BUNDLE
from mmkg_sdk.files.folders import FolderKind, new_folder
from mmkg_sdk.run import RUN

KINDS = [BUNDLE, RUN, DATA_SET]
REPLACED = [BUNDLE, RUN]  # a data set never takes another's place


def names(kind: FolderKind) -> list[str]:
    return sorted(["entities.txt", "images", kind.marker or "train.txt"])


def write(target: Path, content: str, kind: FolderKind, *, overwrite: bool = True) -> None:
    with new_folder(target, kind, overwrite=overwrite) as folder:
        fill(folder, content, kind)


def fill(folder: Path, content: str, kind: FolderKind) -> None:
    for name in names(kind):
        if name == "images":
            (folder / name).mkdir()
            name = "images/flag.png"
        (folder / name).write_text(content)


def read(target: Path, kind: FolderKind) -> str | None:
    """What stands at the target: one content in all files, or nothing."""
    if not target.exists():
        return None
    assert sorted(os.listdir(target)) == names(kind)
    (content,) = {path.read_text() for path in target.rglob("*") if path.is_file()}
    return content
