"""The README's commands and snippets work as they are printed.

Blocks ```sh and ```python are run in the order in which they stand, in one folder, except those that take hours, the
network or a GPU: they stand in blocks ```console, and their options are checked against the command line.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from mmkg_sdk.bundle import Bundle
from mmkg_sdk.cli.main import cli
from tests.places import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


def mmkg_commands(text: str) -> list[list[str]]:
    """Every mmkg-sdk call in a shell block, continued lines joined."""
    lines = text.replace("\\\n", " ").splitlines()
    calls = [part for line in lines for part in re.split(r"&&|;|\|", line) if "mmkg-sdk " in part]
    return [shlex.split(call[call.index("mmkg-sdk ") :], comments=True)[1:] for call in calls]


@pytest.mark.parametrize("call", [c for b in blocks("console") + blocks("sh") for c in mmkg_commands(b)], ids=" ".join)
def test_every_command_in_the_readme_parses(call: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    command: click.Command = cli
    context = click.Context(cli)
    while isinstance(command, click.Group):
        found = command.get_command(context, call[0])
        assert found is not None, f"no command {call[0]!r}"
        command, call = found, call[1:]
    command.make_context(command.name, list(call))


def test_the_two_commands_are_what_ci_runs() -> None:
    ci = (ROOT / ".ci" / "run").read_text()
    setup = re.findall(r"^pip install .*$", README, flags=re.MULTILINE)
    assert len(setup) == 2
    for line in setup:
        assert line.replace("pip install", "pip install -q") in ci


def test_commands_and_snippets_run_in_order(tmp_path: Path) -> None:
    """One process after the other in one folder, as a reader would go through the page."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "MMKG_CACHE": str(tmp_path / "cache"),
        "PYTHONPATH": str(ROOT),
    }
    for language, text in re.findall(r"^```(sh|python)\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL):
        if "python -m pytest" in text:
            continue  # that is this run
        if language == "sh":
            # The set-up is what made this environment; the command line runs from the checkout.
            text = re.sub(r"^pip install [^&]*&& ", "", text, flags=re.MULTILINE)
            text = text.replace("mmkg-sdk ", f"{shlex.quote(sys.executable)} -m mmkg_sdk.cli.main ")
            command = ["bash", "-euo", "pipefail", "-c", text]
        else:
            command = [sys.executable, "-c", text]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode == 0, f"{text}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"


def test_every_local_link_leads_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?://|#)([^)]+)\)", README):
        assert (ROOT / target.split("#")[0]).exists(), target


def test_the_snippets_of_the_other_tasks_run(
    golden_bundles: Callable[..., Path],
    toys: Callable[[str], Path],
    small_bundle: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As printed, on bundles of random models: the page's own are trained for minutes."""
    (snippet,) = blocks("py")
    structured = golden_bundles("db15k_like", "fp32", "adamf_mat")
    for written, path in {
        "linking/bundle": small_bundle,
        "mkgformer/atlas-relations/bundle": toys("mre") / "bundle",
        "mkgformer/atlas-tags/bundle": toys("mner") / "bundle",
        "adamf-mat/bundle": structured,
    }.items():
        assert f'"{written}"' in snippet
        snippet = snippet.replace(f'"{written}"', repr(str(path)))
    assert '"Oslo"' in snippet
    exec("import mmkg_sdk\n" + snippet.replace('"Oslo"', repr(Bundle.open(structured).entities[0])))
    printed = capsys.readouterr().out
    assert all(part in printed for part in ("Georgia", "(Peru, ", "Swahili", "'image': "))
