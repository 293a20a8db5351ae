"""The command line as a whole: its help, its exit codes, a bundle that a command cannot take."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import mmkg_sdk
from mmkg_sdk.cli.group import cli
from tests.places import ROOT

from .running import mmkg
from .walk import call

COMMANDS = {
    "quickstart",
    "data",
    "train",
    "import",
    "evaluate",
    "export",
    "predict",
    "link",
    "extract",
    "tag",
    "bench",
    "build-engine",
    "bundle",
    "explain",
    "export-triton",
    "fetch",
    "push",
    "serve",
    "sign",
    "inspect",
    "verify",
    "env",
}


def test_help_lists_every_command() -> None:
    listed = mmkg("--help").stdout
    assert set(cli.commands) == COMMANDS
    for name in COMMANDS:
        assert f"\n  {name} " in listed


def test_the_package_runs_as_a_module() -> None:
    command = [sys.executable, "-m", "mmkg_sdk", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == f"mmkg-sdk, version {mmkg_sdk.__version__}\n"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (
            ("predict", "--head", "a", "--relation", "b"),
            "is for entity-linking; Model needs a bundle for link-prediction",
        ),
        (
            ("extract", "--sentence", "a", "--head", "a", "--tail", "a"),
            "Extractor needs a bundle for relation-extraction",
        ),
        (("tag", "--sentence", "a"), "Tagger needs a bundle for entity-recognition"),
        (
            ("bench run", "--token-counts", "4", "--out", "results"),
            "mimic bundles are measured by numbers of text tokens",
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_bundle_of_another_task_is_one_clear_error(command: tuple[str, ...], message: str) -> None:
    name, *options = command
    outcome = call(*name.split(), ROOT / "tests" / "released" / "0.2.0" / "mimic", *options)
    assert outcome.code == 1
    assert message in outcome.err


def test_a_warning_is_one_line_and_comes_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def warn(*_: object, **__: object) -> dict[str, object]:
        for text in ("one of two", "a\nb", "one of two", "another"):
            warnings.warn(text, stacklevel=2)
        return {}

    monkeypatch.setattr("mmkg_sdk.data.inspection.summary.summarize", warn)
    outcome = call("data", "inspect", "atlas-tags", "--json")
    assert (outcome.code, outcome.out) == (0, "{}\n")
    assert outcome.err.splitlines() == ["Warning: one of two", "Warning: a b", "Warning: another"]


@pytest.mark.parametrize(
    ("arguments", "code", "kind", "message"),
    [
        (("data", "inspect", "gone"), 1, "DataError", "'gone' is neither a folder nor a known data set"),
        (("inspect", "gone"), 1, "BundleError", "gone: No such file or directory"),
        (("inspect", "gone", "--wrong"), 2, "UsageError", "No such option"),
        (("predict", "gone", "--relation", "a"), 2, "UsageError", "pass either --head or --tail"),
        (("predict", "gone"), 2, "UsageError", "Missing option '--relation'"),
        (("bench", "run"), 2, "UsageError", "Missing argument 'BUNDLE'"),
    ],
)
def test_an_error_for_machines_is_the_last_line_of_stderr_and_stdout_is_empty(
    arguments: tuple[str, ...], code: int, kind: str, message: str
) -> None:
    outcome = call(*arguments, "--json")
    assert (outcome.code, outcome.out) == (code, "")
    error = json.loads(outcome.err.splitlines()[-1])
    assert error.keys() == {"error"}
    assert error["error"].keys() == {"type", "message"}
    assert error["error"]["type"] == kind
    assert message in error["error"]["message"]
    assert not call(*arguments).err.startswith("{"), "people read words"


def test_a_system_error_names_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path / "bundle.json"))

    monkeypatch.setattr("mmkg_sdk.bundle.read_manifest", refuse)
    outcome = call("inspect", tmp_path)
    assert (outcome.code, outcome.err) == (1, f"Error: {tmp_path}/bundle.json: Permission denied\n")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_an_answer_that_the_disk_does_not_take_is_an_error() -> None:
    command = [sys.executable, "-m", "mmkg_sdk", "--version"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (1, "Error: [Errno 28] No space left on device\n")
