"""What a cache holds of an earlier edition of the embedded data is not taken for this one."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from mmkg_sdk.data import atlas, open_data
from mmkg_sdk.data import open as opening
from mmkg_sdk.data.atlas import edition as of_the_atlas


def test_changed_data_are_made_anew_and_not_read_from_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_data("atlas-relations", cache=tmp_path)
    (made,) = tmp_path.rglob("relations-train.jsonl")
    made.write_text(made.read_text("utf-8").splitlines()[0] + "\n", encoding="utf-8")
    assert len(open_data("atlas-relations", cache=tmp_path).train) == 1
    monkeypatch.setattr(opening, "edition", lambda: "00000000")
    assert len(open_data("atlas-relations", cache=tmp_path).train) > 1000


@pytest.mark.parametrize("name", ["templates.json", "tags.py"])
def test_every_changed_file_makes_another_edition(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = shutil.copytree(Path(atlas.__file__).parent, tmp_path / "atlas")
    monkeypatch.setattr(of_the_atlas.resources, "files", lambda package: copy)
    known = of_the_atlas.edition.__wrapped__()
    assert re.fullmatch("[0-9a-f]{8}", known)
    assert known == of_the_atlas.edition.__wrapped__()
    (copy / name).write_bytes((copy / name).read_bytes() + b"\n")
    assert of_the_atlas.edition.__wrapped__() != known
