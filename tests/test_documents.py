"""What README and docs say works as printed.

Blocks ```sh and ```python of each page are run in the order in which they stand, one page after the other in one
folder, except those that take hours, the network or a GPU: they stand in blocks ```console, and their options are
checked against the command line.
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

# The quickstart of the first page makes what the others use.
PAGES = ["README.md", "docs/answering.md", "docs/data.md", "docs/benchmarks.md"]
ALL = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "cpp_examples" / "README.md"])


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    found = [re.findall(rf"^```{language}\n(.*?)^```", path.read_text("utf-8"), flags=re.M | re.S) for path in ALL]
    return [block for page in found for block in page]


def mmkg_commands(text: str) -> list[list[str]]:
    """Every mmkg-sdk call in a shell block, continued lines joined."""
    lines = text.replace("\\\n", " ").splitlines()
    calls = [part for line in lines for part in re.split(r"&&|;|\|", line) if "mmkg-sdk " in part]
    return [shlex.split(call[call.index("mmkg-sdk ") :], comments=True)[1:] for call in calls]


@pytest.mark.parametrize("call", [c for b in blocks("console") + blocks("sh") for c in mmkg_commands(b)], ids=" ".join)
def test_every_command_parses(call: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    command: click.Command = cli
    context = click.Context(cli)
    while isinstance(command, click.Group):
        found = command.get_command(context, call[0])
        assert found is not None, f"no command {call[0]!r}"
        command, call = found, call[1:]
    command.make_context(command.name, list(call))


def test_the_two_commands_are_what_ci_runs() -> None:
    ci = text_of(".ci/run")
    setup = re.findall(r"^pip install .*$", text_of("README.md"), flags=re.MULTILINE)
    assert len(setup) == 2
    for line in setup:
        assert line.replace("pip install", "pip install -q") in ci


def test_the_readme_is_read_in_five_minutes() -> None:
    assert len(text_of("README.md").splitlines()) <= 150


def test_commands_and_snippets_run_in_order(tmp_path: Path) -> None:
    """One process after the other in one folder, as a reader would go through the pages."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "MMKG_CACHE": str(tmp_path / "cache"),
        "PYTHONPATH": str(ROOT),
    }
    pages = "\n".join(map(text_of, PAGES))
    for language, text in re.findall(r"^```(sh|python)\n(.*?)^```", pages, flags=re.MULTILINE | re.DOTALL):
        if "python -m pytest" in text:
            continue  # that is this run
        if language == "sh":
            # The set-up is what made this environment; the command line runs from the checkout.
            text = re.sub(r"^pip install [^&]*&& ", "", text, flags=re.MULTILINE)
            text = text.replace("mmkg-sdk ", f"{shlex.quote(sys.executable)} -m mmkg_sdk ")
            command = ["bash", "-euo", "pipefail", "-c", text]
        else:
            command = [sys.executable, "-c", text]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode == 0, f"{text}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"


def anchors(path: Path) -> set[str]:
    """The headings of a page, as links name them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text("utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.name)
def test_every_local_link_leads_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\((?!https?://)([^)]+)\)", path.read_text("utf-8")):
        file, _, anchor = target.partition("#")
        page = (path.parent / file).resolve() if file else path
        assert page.exists(), target
        assert not anchor or anchor in anchors(page), target


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


def test_the_reference_builds_and_its_links_lead_somewhere(tmp_path: Path) -> None:
    pytest.importorskip("pdoc", reason="the reference is made by pdoc")
    modules = re.findall(r"`pdoc ([^`]*)`", " ".join(text_of("docs/architecture.md").split()))[0].split()
    done = subprocess.run(
        [sys.executable, "-m", "pdoc", *modules, "-o", str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    pages = {
        path: re.sub(r"<script.*?</script>", "", path.read_text("utf-8"), flags=re.DOTALL)
        for path in tmp_path.rglob("*.html")
    }
    assert len(pages) > 10
    shown = pages[tmp_path / "mmkg_sdk.html"]
    assert all(name in shown for name in ("predict_tails", "link_mentions", "extract_relations", "QueryError"))
    for path, page in pages.items():
        for target in re.findall(r'href="(?!https?:|data:|#)([^"]+)"', page):
            file, _, anchor = target.partition("#")
            leads_to = (path.parent / file).resolve()
            assert leads_to in pages, (path.name, target)
            assert not anchor or f'id="{anchor}"' in pages[leads_to], (path.name, target)
