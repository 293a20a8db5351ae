"""mmkg-sdk bench."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


def bench(*arguments: str | Path, code: int = 0, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mmkg_sdk.cli.main", "bench", *map(str, arguments)]
    root = str(Path(__file__).parents[2])
    # The command may run in another folder, so it is told where the checkout is.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, check=False, cwd=cwd or root, env=environment
    )
    assert done.returncode == code, done.stderr
    return done


def test_answers_go_to_stdout_and_talk_to_stderr(golden_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "results"
    options = ("--token-counts", "4, 6", "--seconds", "0.02", "--rounds", "1", "--threads", "1")
    done = bench(golden_bundle, *options, "--out", out, "--no-plot", "--json")
    assert json.loads(done.stdout) == json.loads((out / "results.json").read_text())
    assert json.loads(done.stdout)["settings"]["token_counts"] == {"all": [4, 6]}
    assert "6 tokens" in done.stderr
    assert sorted(path.name for path in out.iterdir()) == ["results.csv", "results.json"]


def test_results_have_a_folder_of_their_own_unless_told(golden_bundle: Path, tmp_path: Path) -> None:
    done = bench(golden_bundle, "--token-counts", "4", "--seconds", "0.02", "--rounds", "1", cwd=tmp_path)
    (folder,) = tmp_path.glob("bench-*")
    assert sorted(path.name for path in folder.iterdir()) == ["results.csv", "results.json", "throughput.png"]
    assert done.stdout.startswith("Medians (")
    assert "Entities per second" in done.stdout
    assert folder.name in done.stderr


@pytest.mark.parametrize(
    ("counts", "said"),
    [("0", "too small"), ("-1", "too small"), ("a", "whole numbers"), ("", "whole numbers"), ("4,,8", "whole numbers")],
)
def test_bad_token_counts_are_wrong_usage(golden_bundle: Path, tmp_path: Path, counts: str, said: str) -> None:
    done = bench(golden_bundle, f"--token-counts={counts}", "--out", tmp_path / "out", code=2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "out").exists()


def test_more_tokens_than_the_graphs_take_are_refused(golden_bundle: Path, tmp_path: Path) -> None:
    done = bench(golden_bundle, "--token-counts", "4,100000", "--out", tmp_path / "out", code=1)
    assert "from 4 to 2,050" in done.stderr
    assert not (tmp_path / "out").exists()


def test_what_is_no_bundle_is_said(tmp_path: Path) -> None:
    assert "bundle.json" in bench(tmp_path, "--out", tmp_path / "out", code=1).stderr


def test_a_missing_matplotlib_is_said_before_anything_is_measured(golden_bundle: Path, tmp_path: Path) -> None:
    code = """
import sys
sys.modules["matplotlib"] = None  # what Python itself does to make an import fail
from mmkg_sdk.cli.main import main
sys.argv = ["mmkg-sdk", "bench", sys.argv[1], "--out", sys.argv[2]]
main()
"""
    arguments = [sys.executable, "-c", code, str(golden_bundle), str(tmp_path / "out")]
    root = Path(__file__).parents[2]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=False, cwd=root)
    assert done.returncode == 1
    assert "pip install 'mmkg_sdk[all]'" in done.stderr
    assert not (tmp_path / "out").exists()
