"""mmkg-sdk bench run; test_compare.py has the other half."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.running import mmkg
from tests.places import ROOT


def bench(*arguments: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    return mmkg("bench", "run", *arguments, code=code)


def test_answers_go_to_stdout_and_talk_to_stderr(golden_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "results"
    options = (
        "--token-counts",
        "4, 6",
        "--seconds",
        "0.02",
        "--rounds",
        "1",
        "--threads",
        "1",
        "--modes",
        "throughput",
    )
    done = bench(golden_bundle, *options, "--out", out, "--no-plot", "--json")
    assert json.loads(done.stdout) == json.loads((out / "results.json").read_text())
    assert json.loads(done.stdout)["settings"]["token_counts"] == {"all": [4, 6]}
    assert "6 tokens" in done.stderr
    assert sorted(path.name for path in out.iterdir()) == ["results.csv", "results.json"]


def test_results_have_a_folder_of_their_own_unless_told(
    golden_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The contenders' processes run in another folder, so they are told where the checkout is.
    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
    monkeypatch.chdir(tmp_path)
    options = ("--token-counts", "4", "--batch-sizes", "own,3", "--seconds", "0.02", "--rounds", "1")
    done = bench(golden_bundle, *options, "--modes", "single-stream,throughput")
    (folder,) = tmp_path.glob("bench-*")
    assert sorted(path.name for path in folder.iterdir()) == [
        "report.html",
        "results.csv",
        "results.json",
        "throughput.png",
    ]
    assert done.stdout.startswith("Medians (")
    assert "Entities per second (entity_encoder, batches of 3)" in done.stdout
    assert folder.name in done.stderr


@pytest.mark.parametrize(
    ("counts", "said"),
    [("0", "too small"), ("-1", "too small"), ("a", "whole number"), ("", "whole number"), ("4,,8", "whole number")],
)
def test_bad_token_counts_are_wrong_usage(golden_bundle: Path, tmp_path: Path, counts: str, said: str) -> None:
    done = bench(golden_bundle, f"--token-counts={counts}", "--out", tmp_path / "out", code=2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("option", "code", "said"),
    [
        ("--modes=offline,online", 1, "unknown mode 'online'; expected some of cold-start, single-stream"),
        ("--modes=server", 1, "shares of what 'offline' finds; name both"),
        ("--batch-sizes=0", 2, "too small"),
        ("--batch-sizes=mine", 2, "not a whole number"),
        ("--batch-sizes=65537", 1, "from 1 to 65,536"),
    ],
)
def test_bad_modes_and_batch_sizes_are_refused(
    golden_bundle: Path, tmp_path: Path, option: str, code: int, said: str
) -> None:
    done = bench(golden_bundle, option, "--out", tmp_path / "out", code=code)
    assert said in " ".join(done.stderr.split())
    assert not (tmp_path / "out").exists()


def test_more_tokens_than_the_graphs_take_are_refused(golden_bundle: Path, tmp_path: Path) -> None:
    done = bench(golden_bundle, "--token-counts", "4,100000", "--out", tmp_path / "out", code=1)
    assert "from 4 to 2,050" in done.stderr
    assert not (tmp_path / "out").exists()


def test_what_is_no_bundle_is_said(tmp_path: Path) -> None:
    assert "bundle.json" in bench(tmp_path, "--out", tmp_path / "out", code=1).stderr


@pytest.mark.parametrize("package", ["matplotlib", "plotly"])
def test_a_missing_package_for_plots_is_said_before_anything_is_measured(
    package: str, golden_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # what Python itself does to make an import fail
    done = bench(golden_bundle, "--out", tmp_path / "out", code=1)
    assert "pip install 'mmkg_sdk[all]'" in done.stderr
    assert not (tmp_path / "out").exists()
