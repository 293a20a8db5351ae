"""A run that is being trained belongs to the process that trains it; others may read it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmkg_sdk.errors import DataError
from mmkg_sdk.run import Run
from mmkg_sdk.training import train
from mmkg_sdk.training.session import resume_training, start_training
from tests.training.test_session import TINY, data  # noqa: F401  a fixture
from tests.training.tiny import SETTINGS, child_environment, new_objective, new_run, validation


@pytest.fixture
def trained_elsewhere(data: Path, tmp_path: Path) -> Iterator[tuple[Path, subprocess.Popen[str]]]:  # noqa: F811
    """A run, and the process that would train it for hours."""
    out = tmp_path / "run"
    options = [f"--set={key}={json.dumps(value)}" for key, value in (TINY | {"epochs": 10**6}).items()]
    command = [sys.executable, "-m", "mmkg_sdk.cli.main", "train", "mygo", "--data", str(data), "--out", str(out)]
    child = subprocess.Popen([*command, *options], env=child_environment(), stderr=subprocess.PIPE, text=True)
    try:
        give_up = time.monotonic() + 90
        while not (out / "weights.safetensors").exists():
            assert child.poll() is None, child.communicate()
            assert time.monotonic() < give_up
            time.sleep(0.05)
        yield out, child
    finally:
        child.kill()
        child.communicate()


def test_a_run_that_is_being_trained_is_neither_replaced_nor_resumed(
    trained_elsewhere: tuple[Path, subprocess.Popen[str]],
    data: Path,  # noqa: F811
) -> None:
    out, child = trained_elsewhere
    used = f"run is in use by process {child.pid}; wait for it"
    with pytest.raises(DataError, match=used):
        start_training("mygo", str(data), out, settings=TINY, preset="none", overwrite=True)
    with pytest.raises(DataError, match=used):
        resume_training(out)
    with pytest.raises(DataError, match=used):
        Run.create(out, family="mygo", config={}, data=Run.open(out).data, overwrite=True)
    assert child.poll() is None
    assert Run.open(out).weights(), "reading is free"

    child.kill()
    child.wait()
    _, result = start_training("mygo", str(data), out, settings=TINY, preset="none", overwrite=True)
    assert result.epochs == TINY["epochs"]
    assert sorted(os.listdir(out.parent)) == ["ring", "run"], "the lock of the killed training is gone"


def test_the_loop_itself_holds_the_lock(tmp_path: Path) -> None:
    run, objective = new_run(tmp_path / "run"), new_objective()
    held: list[bool] = []
    validate = validation(objective)

    def look() -> dict[str, float]:
        held.append((tmp_path / ".run.lock").read_text() == str(os.getpid()))
        return validate()

    train(objective, run, SETTINGS, look)
    assert held
    assert all(held)
    assert os.listdir(tmp_path) == ["run"]
