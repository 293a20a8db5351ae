"""mmkg-sdk train: wrong settings are named before anything is trained."""

from __future__ import annotations

import json
from pathlib import Path

from mmkg_sdk.data import write_dataset
from mmkg_sdk.run import Run
from tests.data.folders import small_dataset

from .running import ask, mmkg


def test_train_resume_takes_no_other_settings(tmp_path: Path) -> None:
    done = mmkg("train", "mygo", "--resume", tmp_path, "--data", "atlas", code=2)
    assert "pass no others" in done.stderr
    assert "not a run" in mmkg("train", "mygo", "--resume", tmp_path, code=1).stderr.lower()


def test_a_run_of_another_family_is_not_resumed(golden_run: Run) -> None:
    done = ask("train", "mimic", "--resume", golden_run.folder, code=2)
    assert "is a run of mygo and not of mimic" in done.stderr


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
    assert "unknown setting 'learning_rat' of mygo; near: 'learning_rate'" in done.stderr


def test_settings_are_listed_of_a_family() -> None:
    assert "goes with a family" in ask("train", "--list-settings", code=2).stderr


def test_settings_and_presets_are_listed_with_type_default_and_meaning() -> None:
    page = " ".join(ask("train", "adamf-mat", "--list-settings").stdout.split())
    assert "margin [float; default 12.0] of the loss" in page
    assert "num_entities [int; from the data] of the graph." in page
    assert "max_minutes [float or null; default null] stop after the epoch" in page
    assert "mkg-y num_negatives=128" in page
    listed = json.loads(ask("train", "mygo", "--list-settings", "--json").stdout)
    assert listed["family"] == "mygo"
    assert listed["presets"]["db15k"]["epochs"] == 1500
    assert {"name": "epochs", "type": "int", "default": 100, "decided_by_data": False, "trains": True} | {
        "meaning": "how often every training triple is seen."
    } in listed["settings"]
