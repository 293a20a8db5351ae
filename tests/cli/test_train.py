"""mmkg-sdk train: wrong settings are named before anything is trained."""

from __future__ import annotations

from pathlib import Path

from .running import mmkg


def test_train_resume_takes_no_other_settings(tmp_path: Path) -> None:
    done = mmkg("train", "mygo", "--resume", tmp_path, "--data", "atlas", code=2)
    assert "pass no others" in done.stderr
    assert "not a run" in mmkg("train", "mygo", "--resume", tmp_path, code=1).stderr.lower()


def test_unknown_setting_is_named(tmp_path: Path) -> None:
    done = mmkg("train", "mygo", "--data", "atlas", "--out", tmp_path / "run", "--set", "learning_rat=1", code=1)
    assert "learning_rat" in done.stderr
