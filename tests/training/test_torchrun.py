"""Two processes under torchrun train what one process trains."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mmkg_sdk.run import Run
from mmkg_sdk.training import train
from mmkg_sdk.training.metrics import read_metrics
from tests.training.tiny import REPO_ROOT, child_environment, new_objective, new_run, validation
from tests.training.torchrun_program import UNEVEN

pytestmark = pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="this torch has no gloo")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the program left behind, run by two processes."""
    folder = tmp_path_factory.mktemp("torchrun")
    launcher = Path(sys.executable).with_name("torchrun")
    command = [str(launcher)] if launcher.exists() else [shutil.which("torchrun") or "torchrun"]
    command += ["--standalone", "--nproc-per-node", "2", "-m", "tests.training.torchrun_program", str(folder)]
    subprocess.run(command, env=child_environment(), cwd=REPO_ROOT, check=True, timeout=120)
    return folder


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The same training in this process."""
    objective, run = new_objective(dropout=0.0), new_run(tmp_path_factory.mktemp("alone") / "run")
    train(objective, run, UNEVEN, validation(objective))
    return run


@pytest.mark.parametrize("name", ["plain", "compiled", "extended"])
def test_two_processes_give_the_weights_and_metrics_of_one(folder: Path, alone: Run, name: str) -> None:
    run = Run.open(folder / name)
    expected, found = alone.weights(), run.weights()
    assert expected.keys() == found.keys()
    for tensor, other in zip(expected.values(), found.values(), strict=True):
        assert torch.allclose(tensor, other, rtol=0, atol=1e-5)
    rows = zip(*(read_metrics(path / "metrics.jsonl") for path in (run.folder, alone.folder)), strict=True)
    for row, other in rows:
        assert row["loss"] == pytest.approx(other["loss"], rel=1e-5)
        assert row["learning_rate"] == other["learning_rate"]
        assert row.get("valid") == pytest.approx(other.get("valid"))


def test_early_stopping_of_the_first_process_stops_all(folder: Path) -> None:
    assert [(folder / f"patience.{rank}.txt").read_text() for rank in (0, 1)] == ["6 patience"] * 2


def test_weights_stay_equal_while_the_rate_follows_the_clock_and_dropout_differs(folder: Path) -> None:
    states = [torch.load(folder / f"timed.{rank}.pt", weights_only=True) for rank in (0, 1)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    endings = [(folder / f"timed.{rank}.txt").read_text() for rank in (0, 1)]
    assert endings[0] == endings[1]
    assert endings[0].endswith("time")


def test_a_loss_that_diverges_in_one_process_is_an_error_in_all(folder: Path) -> None:
    for rank in (0, 1):
        assert "loss is nan in epoch 1, batch 1" in (folder / f"diverging.{rank}.txt").read_text()
