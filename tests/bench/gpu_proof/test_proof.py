"""The command of the first minutes on a GPU, where there is none: how it ends, and what it leaves."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mmkg_sdk.bench.gpu_proof import run as proof_run
from mmkg_sdk.bench.gpu_proof.plan import PLAN, PLANNED_MINUTES, limits
from mmkg_sdk.bench.gpu_proof.predictions import PREDICTIONS
from mmkg_sdk.bench.gpu_proof.run import NO_GPU, Asked, _signals_held, run_proof
from mmkg_sdk.errors import BackendError, QueryError
from tests.places import ROOT


def proof(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mmkg_sdk.bench.gpu_proof", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | variables
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, cwd=ROOT, env=environment)


def test_without_a_gpu_it_imports_everything_says_so_and_ends_with_its_own_code(tmp_path: Path) -> None:
    done = proof("--out", tmp_path / "out", MMKG_CUDA_DRIVER=str(tmp_path / "no-driver.so"))
    assert done.returncode == NO_GPU == 3, done.stderr
    assert f"{len(PLAN)} steps, every module imported" in done.stdout
    assert "no GPU: NVIDIA's driver is not installed here" in done.stdout
    found = json.loads((tmp_path / "out" / "proof.json").read_text())
    assert "driver is not installed" in found["no_gpu"]
    assert (found["steps"], found["complete"]) == ([], False)
    assert len(found["predictions"]) == len(PREDICTIONS)


def test_a_rehearsal_runs_steps_in_processes_of_their_own(tmp_path: Path) -> None:
    done = proof("--out", tmp_path, "--rehearse", "--only", "kernels", "--only", "race-jax")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "proof.json").read_text())
    assert found["rehearsed"]
    assert found["complete"]
    status = {step["step"]: step["status"] for step in found["steps"]}
    assert status["kernels"] == "done"
    assert status["race-jax"] in ("not measured", "done")
    kept = json.loads((tmp_path / "kernels.json").read_text())
    assert kept["rehearsed"]
    assert kept["complete"]
    assert kept["environment"]["versions"]["numpy"]


def test_help_says_that_it_never_ran_on_a_gpu() -> None:
    text = " ".join(proof("--help").stdout.split())
    assert "THIS COMMAND HAS NEVER RUN ON A GPU" in text
    assert "bench/results/gpu/" in text


def test_a_step_that_hangs_is_cut_and_the_next_one_follows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof_run, "_REHEARSED_LIMIT_S", 0.2)
    said: list[str] = []
    asked = Asked(tmp_path, rehearse=True, only=("kernels", "race-kernels"))
    assert run_proof(asked, said.append) == 1
    found = json.loads((tmp_path / "proof.json").read_text())
    assert [(step["step"], step["status"]) for step in found["steps"]] == [("kernels", "cut"), ("race-kernels", "cut")]
    assert found["complete"]
    assert any(line.startswith("race-kernels: cut") for line in said)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are looked for in /proc")
def test_a_cut_from_outside_ends_the_step_that_runs_and_leaves_what_was_done(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mmkg_sdk.bench.gpu_proof", "--out", str(tmp_path), "--rehearse"]
    command += ["--only", "kernels", "--only", "training"]
    variables = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=variables) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("training:"):
                process.terminate()
                break
        assert process.wait(60) == 128 + signal.SIGTERM
    found = json.loads((tmp_path / "proof.json").read_text())
    assert not found["complete"]
    assert [(step["step"], step["status"]) for step in found["steps"]] == [("kernels", "done")]
    assert json.loads((tmp_path / "kernels.json").read_text())["complete"]
    running = [_command(path) for path in Path("/proc").glob("[0-9]*/cmdline")]
    assert not [words for words in running if str(tmp_path).encode() in words]


def _command(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has ended meanwhile
        return b""


def test_a_signal_while_a_step_starts_is_handled_behind_it() -> None:
    """Else it could end this process between the step's start and the knowledge of it."""

    def stop(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    started: list[bool] = []

    def start() -> None:
        with _signals_held():
            os.kill(os.getpid(), signal.SIGTERM)
            started.append(True)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        with pytest.raises(SystemExit, match=str(128 + signal.SIGTERM)):
            start()
        assert started
        assert signal.getsignal(signal.SIGTERM) is stop
    finally:
        signal.signal(signal.SIGTERM, before)


def test_limits_grow_with_the_time_and_leave_none_beyond_it() -> None:
    assert sum(step.limit_s for step in PLAN) <= 60 * PLANNED_MINUTES
    assert sum(limits(3).values()) <= 180
    assert limits(24)["kernels"] == 2 * limits(12)["kernels"]
    assert [step.name for step in PLAN if step.rest] == [PLAN[-1].name]
    assert len({step.name for step in PLAN}) == len(PLAN)


@pytest.mark.parametrize(
    ("asked", "error", "said"),
    [
        ({"minutes": 0.1}, QueryError, "minutes is 0.1; expected 0.5 to 1,440"),
        ({"only": ("all",)}, QueryError, "unknown step 'all'"),
        ({"device": "gpu0"}, BackendError, "unknown device 'gpu0'"),
    ],
)
def test_nonsense_is_refused(asked: dict[str, object], error: type[Exception], said: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=re.escape(said)):
        run_proof(Asked(tmp_path / "out", **asked))  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_the_page_shows_the_predictions_as_they_are_recorded() -> None:
    text = (ROOT / "docs" / "gpu-proof.md").read_text(encoding="utf-8")
    shown = re.findall(r"^\| (.+?) \| \[([CE])\] \| (.+?) \|$", text, re.MULTILINE)
    assert tuple(shown) == PREDICTIONS
    assert "never run on a GPU" in text
    assert "bench/results/gpu/" in text
    for step in PLAN:
        assert f"`{step.name}`" in text
