"""--input and --output of the commands that answer: the answers of the library, one line about them, an exit code."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("pyarrow", reason="pyarrow is not installed")

from mmkg_sdk import Model
from tests.batches.query_files import bad_rows, read_answers, write_queries
from tests.batches.test_predict_file import BUNDLE, one_by_one, questions
from tests.cli.running import ask, mmkg
from tests.places import ROOT

RELATIONS = {"sentence": ["the film", "a"], "head": ["the", "b"], "tail": ["film", "c"]}
RELEASED = ROOT / "tests" / "released" / "0.2.0"


@pytest.fixture
def queries(tmp_path: Path) -> Path:
    return write_queries(tmp_path / "queries.csv", {"head": ["entity 1", "entity 3"], "relation": ["relation 1"] * 2})


def test_predict_writes_what_the_library_answers(queries: Path, tmp_path: Path) -> None:
    answers = tmp_path / "answers.parquet"
    done = mmkg("predict", BUNDLE, "--input", queries, "--output", answers, "-k", "2", "--no-filter-known")
    assert (done.stdout, done.stderr) == (f"2 rows: 4 answers, in {answers}\n", "")
    asked = {"head": ["entity 1", "entity 3"], "relation": ["relation 1"] * 2, "tail": [None] * 2}
    with Model.load(BUNDLE, device="cpu") as model:
        assert read_answers(answers) == one_by_one(model, asked, 2, filter_known=False)
    refused = mmkg("predict", BUNDLE, "--input", queries, "--output", answers, code=1)
    assert refused.stderr == f"Error: {answers} exists already. Pass --overwrite (overwrite=True) to replace it.\n"
    named = ("--candidates", "entity 2,5", "--overwrite", "--json")
    said = json.loads(ask("predict", BUNDLE, "--input", queries, "--output", answers, *named).stdout)
    assert said == {"rows": 2, "bad": 0, "answers": 4, "resumed": 0, "output": str(answers), "bad_rows": None}
    assert {row["id"] for row in read_answers(answers)} == {2, 5}


@pytest.mark.parametrize("as_json", [False, True])
def test_bad_rows_are_said_by_the_last_line_and_the_exit_code(tmp_path: Path, as_json: bool) -> None:
    file = write_queries(tmp_path / "queries.csv", {"head": ["entity 1", "nobody"], "relation": ["relation 1"] * 2})
    answers, wrong = tmp_path / "answers.csv", tmp_path / "wrong.jsonl"
    options = ("--input", file, "--output", answers, "--bad-rows", wrong, "-k", "1", *(["--json"] if as_json else []))
    done = mmkg("predict", BUNDLE, *options, code=3)
    assert done.stderr == ""
    if as_json:
        assert json.loads(done.stdout) == {"rows": 2, "bad": 1, "answers": 1, "resumed": 0} | {
            "output": str(answers),
            "bad_rows": str(wrong),
        }
    else:
        assert done.stdout == f"2 rows: 1 answers, in {answers}; 1 bad rows, in {wrong}\n"
    assert json.loads(wrong.read_text()) == {"row": 1, "reason": "unknown entity 'nobody'"}


@pytest.mark.parametrize(
    ("command", "bundle", "columns", "expected"),
    [
        ("link", "mimic", {"mention": ["Georgia", None], "sentence": ["Tbilisi", "b"]}, "rank"),
        ("extract", "mkgformer-relations", RELATIONS, "id"),
        ("tag", "mkgformer-tags", {"sentence": ["the film from germany", None]}, "kind"),
    ],
)
def test_the_other_tasks_take_files_too(
    command: str, bundle: str, columns: dict[str, list[str | None]], expected: str, tmp_path: Path
) -> None:
    pytest.importorskip("tokenizers", reason="tokenizers is not installed")
    file = write_queries(tmp_path / "queries.parquet", columns)
    done = ask(command, RELEASED / bundle, "--input", file, "--output", tmp_path / "answers.jsonl", code=3)
    assert done.stdout.startswith("2 rows: ")
    assert [row for row, _ in bad_rows(tmp_path / "answers.jsonl")] == [1]
    assert {row["number"] for row in read_answers(tmp_path / "answers.jsonl")} <= {0}
    assert all(expected in row for row in read_answers(tmp_path / "answers.jsonl"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["predict", "b", "--input", "q.csv"], "--input needs --output"),
        (["predict", "b", "--relation", "r", "--head", "h", "--output", "a.csv"], "go with --input"),
        (["predict", "b", "--relation", "r", "--head", "h", "--overwrite"], "go with --input"),
        (
            ["predict", "b", "--input", "q.csv", "--output", "a.csv", "--head", "h"],
            "--head is of one query",
        ),
        (
            ["predict", "b", "--tail", "t", "--output", "a.csv", "--input", "q.csv"],
            "--tail is of one query",
        ),
        (["predict", "b", "--head", "h"], "Missing option '--relation'"),
        (["link", "b"], "Missing option '--mention'"),
        (["link", "b", "--input", "q.csv", "--output", "a.csv", "--image", "i.png"], "--image is of one query"),
        (["extract", "b", "--head", "h", "--tail", "t"], "Missing option '--sentence'"),
        (["extract", "b", "--input", "q.csv", "--output", "a.csv", "--aux", "i.png"], "--aux is of one query"),
        (["tag", "b"], "Missing option '--sentence'"),
        (["tag", "b", "--input", "q.csv", "--output", "a.csv", "--sentence", "s"], "--sentence is of one query"),
    ],
    ids=lambda value: " ".join(value)[:50] if isinstance(value, list) else "",
)
def test_one_query_and_a_file_are_told_apart(words: list[str], message: str) -> None:
    assert message in mmkg(*words, code=2).stderr


@pytest.mark.parametrize("command", ["predict", "link", "extract", "tag"])
def test_the_help_shows_both_ways_and_names_the_columns(command: str) -> None:
    text = " ".join(ask(command, "--help").stdout.split())
    assert re.search(rf"mmkg-sdk {command} BUNDLE --(head|mention|sentence)", text)
    assert re.search(rf"mmkg-sdk {command} BUNDLE --input \S+ --output \S+", text)
    assert re.search(r"Answer each row of a file: \.parquet, \.csv or \.jsonl, with (a column|columns) \w+", text)


def test_a_terminal_shows_a_bar_and_a_file_none(queries: Path, tmp_path: Path) -> None:
    pty = pytest.importorskip("pty", reason="this system has no terminals of its own")
    termios = pytest.importorskip("termios", reason="this system has no terminals of its own")
    pytest.importorskip("tqdm", reason="tqdm is not installed")
    command = [sys.executable, "-m", "mmkg_sdk", "predict", str(BUNDLE), "--input", str(queries), "--overwrite"]
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    done = subprocess.run(
        [*command, "--output", str(tmp_path / "answers.csv")], stdout=subprocess.PIPE, stderr=theirs, check=True
    )
    os.close(theirs)
    shown = os.read(ours, 100_000)
    os.close(ours)
    assert b" rows" in shown
    assert b" rows" not in done.stdout.replace(b"2 rows: ", b"")


SLOW = """
import sys, time
from mmkg_sdk.answering.link_prediction import Model
from mmkg_sdk.batches import link_prediction
link_prediction._ROWS = 5
ask = Model.predict_queries
def slow(self, *arguments, **options):
    print("asked", flush=True)
    time.sleep(0.2)
    return ask(self, *arguments, **options)
Model.predict_queries = slow
from mmkg_sdk.cli.main import main
sys.argv = ["mmkg-sdk", *sys.argv[1:]]
main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_is_one_line_and_the_same_command_goes_on(number: signal.Signals, tmp_path: Path) -> None:
    with Model.load(BUNDLE, device="cpu") as model:
        asked = questions(model, 100)
    file = write_queries(tmp_path / "queries.jsonl", asked)
    command = [sys.executable, "-c", SLOW, "predict", str(BUNDLE), "--input", str(file), "--output"]
    command += [str(tmp_path / "answers.csv"), "-k", "2", "--threads", "1"]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    for _ in range(4):
        assert child.stdout.readline() == "asked\n"
    time.sleep(0.05)
    child.send_signal(number)
    assert (child.communicate(timeout=60)[1].strip(), child.returncode) == ("Interrupted.", 1)
    assert not (tmp_path / "answers.csv").exists()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.count("asked") == 17
    assert "100 rows (15 of them before): " in done.stdout
    with Model.load(BUNDLE, device="cpu") as model:
        assert read_answers(tmp_path / "answers.csv") == one_by_one(model, asked, 2)
