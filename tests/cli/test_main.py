"""The command line as a whole: its help, its exit codes, a bundle that a command cannot take."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import mmkg_sdk
from mmkg_sdk.cli.group import cli

from .running import mmkg

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
def test_a_bundle_of_another_task_is_one_clear_error(
    command: tuple[str, ...], message: str, golden_bundles: Callable[..., Path]
) -> None:
    name, *options = command
    found = mmkg(*name.split(), golden_bundles("base", "fp32", "mimic"), *options, code=1).stderr
    assert message in found
    assert "Traceback" not in found


def test_a_closed_pipe_is_no_traceback(golden_bundle: Path) -> None:
    command = f"{sys.executable} -m mmkg_sdk.cli.main inspect {golden_bundle} --json | head -c 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in done.stderr
