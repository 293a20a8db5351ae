"""A file of answers, killed at every step and out of disk at every size: repeated, it is what one run gives."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

pytest.importorskip("pyarrow", reason="pyarrow is not installed")
pytest.importorskip("resource", reason="this system has no limits of files")

import resource

from mmkg_sdk import DataError, Model
from mmkg_sdk.batches import Answered, predict_file
from tests.batches.query_files import SUFFIXES, write_queries
from tests.batches.test_predict_file import BUNDLE, questions
from tests.faults.at_event import FAILED, UNTOUCHED, kill, no_space, run_in_child

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),
]


def answer(folder: Path, output: str, *, overwrite: bool = False) -> Answered:
    with Model.load(BUNDLE, device="cpu", threads=1) as model:
        return predict_file(model, folder / "queries.csv", folder / output, k=2, overwrite=overwrite)


@pytest.fixture
def queries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with queries that make three parts, one row of them wrong."""
    monkeypatch.setattr("mmkg_sdk.batches.link_prediction._ROWS", 20)
    monkeypatch.setenv("MMKG_CACHE", str(tmp_path.parent / "cache"))
    with Model.load(BUNDLE, device="cpu", threads=1) as model:
        asked = questions(model, 60)
    asked["relation"][30] = "nothing"
    write_queries(tmp_path / "queries.csv", asked)
    return tmp_path


def test_killed_at_any_moment_it_goes_on_and_ends_as_one_run_does(queries: Path) -> None:
    answer(queries, "whole.parquet")
    resumed = set()
    for number in range(200):
        code = run_in_child(lambda: answer(queries, "answers.parquet"), queries, kill, number)
        assert code in (UNTOUCHED, -signal.SIGKILL)
        if not (queries / "answers.parquet").exists():
            resumed.add(answer(queries, "answers.parquet").resumed)
        assert (queries / "answers.parquet").read_bytes() == (queries / "whole.parquet").read_bytes()
        bad = queries / "answers.parquet.bad.jsonl"
        assert bad.read_bytes() == (queries / "whole.parquet.bad.jsonl").read_bytes()
        left = {path.name for path in queries.iterdir() if path.name.startswith(".")}
        # A kill behind the last rename leaves the parts, which the next run of this name takes away.
        assert left <= {".answers.parquet.parts", ".answers.parquet.lock"}
        answer(queries, "answers.parquet", overwrite=True)
        assert not [path for path in queries.iterdir() if path.name.startswith(".")]
        bad.unlink()
        (queries / "answers.parquet").unlink()
        if code == UNTOUCHED:
            break
    assert 15 <= number < 199
    assert resumed == {0, 20, 40, 60}


def test_a_disk_that_takes_no_more_is_an_error_at_any_moment(queries: Path) -> None:
    output = ".parquet"
    answer(queries, f"whole{output}")
    for number in range(200):
        code = run_in_child(lambda: answer(queries, f"answers{output}"), queries, no_space, number)
        if code == UNTOUCHED:
            break
        assert code in (FAILED, 2), number
        if not (queries / f"answers{output}").exists():
            answer(queries, f"answers{output}")
        assert (queries / f"answers{output}").read_bytes() == (queries / f"whole{output}").read_bytes()
        (queries / f"answers{output}.bad.jsonl").unlink()
        (queries / f"answers{output}").unlink()
    assert 15 <= number < 199


@pytest.mark.parametrize("limit", [0, 100, 1000, 3000, 4500, 6000])
@pytest.mark.parametrize("output", SUFFIXES)
def test_a_full_disk_says_what_is_needed_and_the_run_goes_on(queries: Path, limit: int, output: str) -> None:
    def with_little_room() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            answer(queries, f"answers{output}")
        except DataError as err:
            assert "File too large" in str(err), err  # noqa: PT017
            assert "bytes needed" in str(err), err  # noqa: PT017
            raise

    answer(queries, f"whole{output}")
    code = run_in_child(with_little_room, queries, kill, 10**6)
    assert code == FAILED or (code == UNTOUCHED and limit >= 3000)
    if code == FAILED:
        assert not (queries / f"answers{output}").exists()
        answer(queries, f"answers{output}")
    assert (queries / f"answers{output}").read_bytes() == (queries / f"whole{output}").read_bytes()
