"""When the disk is full, the message has the path, the bytes needed and those free, and what was there stays."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path

import pytest
import torch

from mmkg_sdk.data.registry import PublicFile, fetch_files
from mmkg_sdk.errors import DataError
from mmkg_sdk.files.atomic import append_line, write_atomically
from mmkg_sdk.files.tensors import scratch_array
from mmkg_sdk.training.metrics import read_metrics
from mmkg_sdk.training.state import Position, load_state, save_state
from tests.cli.running import mmkg
from tests.training.test_session import TINY, data  # noqa: F401  a fixture
from tests.training.tiny import SETTINGS, new_run

resource = pytest.importorskip("resource", reason="this system has no limits of files")

from tests.faults.room import files_of_at_most  # noqa: E402  it needs `resource`


def lacks(path: Path, needed: str) -> str:
    return rf"^{re.escape(str(path))} could not be written \(File too large; {needed} bytes needed, [\d,]+ free\)\."


def test_a_file_is_the_old_one_and_the_bytes_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")
    with files_of_at_most(1000), pytest.raises(DataError, match=lacks(path, "5,000")):
        write_atomically(path, bytes(5000))
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("room", [0, 100, 5000, 300_000])
def test_the_state_of_a_training_is_the_old_one_where_torch_hides_what_the_system_said(
    tmp_path: Path, room: int
) -> None:
    path = tmp_path / "resume.pt"
    parts = {"objective": {}, "optimizers": [], "scaler": {}}
    save_state(path, SETTINGS, Position(epoch=1), parts)
    large = parts | {"objective": {"a": torch.zeros(200_000)}}
    with files_of_at_most(room), pytest.raises(DataError, match=lacks(path, "80[0-9],[0-9]{3}")):
        save_state(path, SETTINGS, Position(epoch=2), large)
    assert load_state(path, SETTINGS)[0].epoch == 1
    assert os.listdir(tmp_path) == ["resume.pt"]


def test_the_weights_are_the_old_ones(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    run.save_weights({"a": torch.ones(3)})
    path = run.folder / "weights.safetensors"
    with files_of_at_most(1000), pytest.raises(DataError, match=lacks(path, "4,0[0-9]{2}")):
        run.save_weights({"a": torch.zeros(1000)})
    assert run.weights()["a"].tolist() == [1, 1, 1]


def test_a_line_is_added_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    append_line(path, b'{"epoch": 1}')
    with files_of_at_most(30), pytest.raises(DataError, match=lacks(path, "29")):
        append_line(path, b'{"epoch": 2, "loss": 1.0000}')
    assert read_metrics(path) == [{"epoch": 1}]


def test_scratch_space_is_there_before_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hole in a file that the disk cannot fill would end the process, without a word."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with files_of_at_most(1000), pytest.raises(DataError, match=r"does not take .*; 4,000 bytes needed.*set TMPDIR"):
        scratch_array((1000,), "float32")
    assert scratch_array((1000,), "float32").sum() == 0


def test_a_fetched_copy_is_absent_and_comes_with_the_next_call(tmp_path: Path) -> None:
    content = bytes(5000)
    (tmp_path / "from").mkdir()
    (tmp_path / "from" / "a.txt").write_bytes(content)
    file = PublicFile("a.txt", None, hashlib.sha256(content).hexdigest(), len(content))
    where = tmp_path / "cache" / ".set.partial" / "a.txt"
    with files_of_at_most(1000), pytest.raises(DataError, match=lacks(where, "5,000")):
        fetch_files((file,), tmp_path / "cache" / "set", source=tmp_path / "from")
    assert not (tmp_path / "cache" / "set").exists()
    assert (
        fetch_files((file,), tmp_path / "cache" / "set", source=tmp_path / "from") / "a.txt"
    ).read_bytes() == content


def test_a_training_stops_with_its_last_state_whole_and_goes_on(data: Path, tmp_path: Path) -> None:  # noqa: F811
    out = tmp_path / "run"
    options = [f"--set={key}={json.dumps(value)}" for key, value in TINY.items()]
    with files_of_at_most(40_000):  # the first state fits, and Adam's do not
        failed = mmkg(
            "train", "mygo", "--data", data, "--out", out, "--preset=none", *options, code=1
        ).stderr.splitlines()[-1]
    assert re.match(lacks(out / "resume.pt", "[0-9]{2},[0-9]{3}"), failed.removeprefix("Error: "))
    assert not list(out.glob(".*"))
    done = json.loads(mmkg("train", "--resume", out, "--json").stdout)
    assert (done["epochs"], done["stopped_by"]) == (3, "epochs")
    assert [row["epoch"] for row in read_metrics(out / "metrics.jsonl")] == [1, 2, 3]


@pytest.mark.parametrize("command", [("data", "tokenize", "atlas"), ("quickstart",)], ids=" ".join)
def test_a_command_that_makes_folders_leaves_none(command: tuple[str, ...], tmp_path: Path) -> None:
    pytest.importorskip("PIL", reason="the atlas draws its flags with pillow")
    with files_of_at_most(40_000):
        failed = mmkg(*command, "--out", tmp_path / "out", code=1).stderr.splitlines()[-1]
    assert re.match(
        r"Error: /.* could not be written \(File too large; more than [\d,]+ bytes needed, [\d,]+ fr", failed
    )
    assert not list(tmp_path.glob("out/*"))
