"""A training that is killed at any moment and resumed ends as if nothing had happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from mmkg_sdk.run import Run
from mmkg_sdk.training import train
from mmkg_sdk.training.metrics import read_metrics
from tests.training.tiny import (
    REPO_ROOT,
    SETTINGS,
    child_environment,
    new_objective,
    new_run,
    validation,
    without_times,
)

# An epoch has 5 batches, and every second one a validation (one more use of the scores). The files that are
# written: the cut metrics, the initial state; after epochs 2, 4, 6 the state, and the weights if better.
POINTS = [
    *(f"batch-{number}" for number in (1, 5, 8, 11, 17, 22, 32)),
    *(f"write-{number}" for number in range(1, 8)),
    *(f"rename-{number}" for number in range(1, 8)),
]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Run:
    threads = torch.get_num_threads()
    objective, run = new_objective(), new_run(tmp_path_factory.mktemp("uninterrupted") / "run")
    train(objective, run, SETTINGS, validation(objective))
    assert torch.get_num_threads() == threads
    return run


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("killed")
    subprocess.run(
        [sys.executable, "-m", "tests.training.kill_program", str(folder), *POINTS],
        env=child_environment(),
        cwd=REPO_ROOT,
        check=True,
        timeout=120,
    )
    return folder


@pytest.mark.parametrize("point", POINTS)
def test_killed_and_resumed_equals_uninterrupted(point: str, killed: Path, uninterrupted: Run) -> None:
    run = Run.open(killed / point)
    expected, found = uninterrupted.weights(), run.weights()
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    rows = [without_times(read_metrics(folder / "metrics.jsonl")) for folder in (run.folder, uninterrupted.folder)]
    assert rows[0] == rows[1]
    folders = (run.folder, uninterrupted.folder)
    states = [torch.load(folder / "resume.pt", weights_only=True)["optimizers"][0]["state"] for folder in folders]
    for moments, others in zip(*(state.values() for state in states), strict=True):
        assert all(torch.equal(moments[name], others[name]) for name in others)
    assert sorted(path.name for path in run.folder.iterdir()) == sorted(
        path.name for path in uninterrupted.folder.iterdir()
    ), "a kill left something behind"


@pytest.mark.parametrize("point", POINTS)
def test_metrics_are_valid_right_after_the_kill(point: str, killed: Path, uninterrupted: Run) -> None:
    kept = without_times(read_metrics(killed / f"{point}.metrics.jsonl"))
    assert kept == without_times(read_metrics(uninterrupted.folder / "metrics.jsonl"))[: len(kept)]


def test_the_points_reach_every_stage_of_the_training(killed: Path) -> None:
    epochs = {len(read_metrics(killed / f"{point}.metrics.jsonl")) for point in POINTS}
    assert epochs >= {0, 1, 2, 3, 4, 5}


def test_ctrl_c_exits_non_zero_and_says_how_to_go_on(tmp_path: Path) -> None:
    program = (
        "import sys; from dataclasses import replace; from pathlib import Path\n"
        "from mmkg_sdk.training import train; from tests.training.tiny import *\n"
        "objective, run = new_objective(), new_run(Path(sys.argv[1]))\n"
        "train(objective, run, replace(SETTINGS, epochs=10**6), validation(objective))\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "run")],
        env=child_environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    weights = tmp_path / "run" / "weights.safetensors"
    give_up = time.monotonic() + 60
    while not weights.exists() and child.poll() is None and time.monotonic() < give_up:
        time.sleep(0.02)
    child.send_signal(signal.SIGINT)
    _, talk = child.communicate(timeout=60)
    assert child.returncode != 0
    assert f"To go on: mmkg-sdk train --resume {tmp_path / 'run'}" in talk
    Run.open(tmp_path / "run").weights()
