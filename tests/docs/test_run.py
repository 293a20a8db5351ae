"""What README and docs say works as printed.

Blocks ```sh and ```python of each document are run in the order in which they stand, all in the folder in which those
of the README ran before: its quickstart makes what the others use. What takes hours, the network or a GPU stands in
blocks ```console, whose options are checked against the command line.
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
from mmkg_sdk.cli.group import cli
from mmkg_sdk.data.atlas import atlas_graph, countries
from tests.cpp.building import building_absence
from tests.docs.pages import DOCUMENTS, blocks, text_of
from tests.places import ROOT

OTHERS = [page for page in DOCUMENTS if page != "README.md"]


def mmkg_commands(text: str) -> list[list[str]]:
    """Every mmkg-sdk call in a shell block, continued lines joined."""
    lines = text.replace("\\\n", " ").splitlines()
    calls = [part for line in lines for part in re.split(r"&&|;|\||>|\$\(|\)", line) if "mmkg-sdk " in part]
    return [shlex.split(call[call.index("mmkg-sdk ") :], comments=True)[1:] for call in calls]


CALLS = [call for page in DOCUMENTS for _, block in blocks(page, "console", "sh") for call in mmkg_commands(block)]


@pytest.mark.parametrize("call", CALLS, ids=" ".join)
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


def run_blocks(page: str, folder: Path) -> list[str]:
    """What each block printed, one process after the other, as a reader would go through the document."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "MMKG_CACHE": str(folder / "cache"),
        "PYTHONPATH": str(ROOT),
    }
    printed = []
    for language, text in blocks(page, "sh", "python"):
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
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode == 0, f"{page}\n{text}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        printed.append(done.stdout)
    return printed


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The folder in which the README's blocks ran, and what they printed."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "cpp_examples").symlink_to(ROOT / "cpp_examples")  # the reader stands in a checkout
    return folder, run_blocks("README.md", folder)


def test_the_readme_prints_what_it_says(read: tuple[Path, list[str]]) -> None:
    """Training gives other digits on other processors, and other countries with the euro. All answers are true."""
    facts = {country.name: country for country in countries()}
    for text in (read[1][-1], blocks("README.md", "text")[1][1]):
        answers = re.findall(r"^ +\d+\. (.*?)  +\d", text, flags=re.MULTILINE)
        assert set(answers[:2]) == set(facts["Dominica"].language)
        assert all("Euro" in facts[country].currency for country in answers[2:])
        assert len(answers) == 5
        *_, held_out, score, shape = text.splitlines()
        assert held_out == "[('Arabic',), ('Spanish',)]"
        assert float(score[1:-1])
        assert shape == "(2, 64)"


def test_training_knows_no_fact_that_the_readme_calls_held_out() -> None:
    graph = atlas_graph()
    trained = {(graph.entities[head], graph.entities[tail]) for head, _, tail in graph.train.tolist()}
    assert not trained & {("Dominica", "English"), ("Egypt", "Arabic"), ("Honduras", "Spanish")}


@pytest.mark.parametrize("page", [page for page in OTHERS if blocks(page, "sh", "python")])
def test_commands_and_snippets_run_in_order(page: str, read: tuple[Path, list[str]]) -> None:
    if any("cmake " in text for _, text in blocks(page, "sh")) and (absence := building_absence()):
        pytest.skip(absence)
    run_blocks(page, read[0])


def test_the_notebook_runs_from_its_first_cell_to_its_last(read: tuple[Path, list[str]]) -> None:
    """In a kernel of its own, where a reader opens it: in docs/, beside the quickstart's folder."""
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    notebook = nbformat.read(ROOT / "docs" / "exploring.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells)  # they would be of another training
    (read[0] / "docs").mkdir()
    place = {"metadata": {"path": str(read[0] / "docs")}}
    client = nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=place)
    client.execute(env=os.environ | {"PYTHONPATH": str(ROOT)})
    opened, answers, members, _, explained = (cell.outputs for cell in notebook.cells if cell.cell_type == "code")
    assert opened[0]["data"]["text/plain"].startswith("Model(mygo fp32")
    for country, language in (("Dominica", "English"), ("Egypt", "Arabic"), ("Honduras", "Spanish")):
        assert (
            f"<td>{country}</td><td>language</td><td>{language}</td><td>tail</td><td>1</td>"
            in (answers[0]["data"]["text/html"])
        )
    assert "Europe" in members[0]["data"]["text/html"]
    assert any("image/png" in output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", []))
    assert explained[0]["data"]["text/plain"].startswith("'Norway'")


def test_the_snippets_of_the_other_tasks_run(
    golden_bundles: Callable[..., Path],
    toys: Callable[[str], Path],
    small_bundle: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As printed, on bundles of random models: the document's own are trained for minutes."""
    (snippet,) = [text for page in DOCUMENTS for _, text in blocks(page, "py") if "Linker" in text]
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
    assert all(part in printed for part in ("Georgia", "(Peru, ", "Swahili", "  image  "))
