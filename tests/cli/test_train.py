"""mmkg-sdk train: wrong settings are named before anything is trained."""

from __future__ import annotations

from pathlib import Path

from mmkg_sdk.data import write_dataset
from tests.data.folders import small_dataset

from .running import mmkg


def test_train_resume_takes_no_other_settings(tmp_path: Path) -> None:
    done = mmkg("train", "mygo", "--resume", tmp_path, "--data", "atlas", code=2)
    assert "pass no others" in done.stderr
    assert "not a run" in mmkg("train", "mygo", "--resume", tmp_path, code=1).stderr.lower()


def test_train_refuses_data_without_what_is_required(tmp_path: Path) -> None:
    write_dataset(small_dataset(), tmp_path / "set")
    for path in (tmp_path / "set").glob("text*"):
        path.unlink()
    options = ("--data", tmp_path / "set", "--out", tmp_path / "run", "--require", "image,text")
    done = mmkg("train", "mygo", *options, code=1)
    assert "Error: no text tokens found, and text is required; looked for text-tokens.json" in done.stderr
    assert not (tmp_path / "run").exists()
    assert "pass no others" in mmkg("train", "mygo", "--resume", tmp_path, "--require", "text", code=2).stderr


def test_unknown_setting_is_named(tmp_path: Path) -> None:
    done = mmkg("train", "mygo", "--data", "atlas", "--out", tmp_path / "run", "--set", "learning_rat=1", code=1)
    assert "learning_rat" in done.stderr
