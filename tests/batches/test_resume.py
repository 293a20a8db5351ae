"""A run that was interrupted goes on where it stopped, and what comes of it is what an uninterrupted one gives."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyarrow", reason="pyarrow is not installed")

from mmkg_sdk import DataError, Model
from mmkg_sdk.batches import predict_file
from mmkg_sdk.files.folders import folder_lock
from tests.batches.query_files import SUFFIXES, write_queries
from tests.batches.test_predict_file import BUNDLE, questions

ROWS, PART = 60, 7


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmkg_sdk.batches.link_prediction._ROWS", PART)


@pytest.fixture
def model() -> Iterator[Model]:
    with Model.load(BUNDLE, device="cpu") as opened:
        yield opened


def asked_of(model: Model, monkeypatch: pytest.MonkeyPatch, *, stop_after: int = 1000) -> list[int]:
    """How many queries each call of the model has, from now on; after some calls it is interrupted."""
    sizes: list[int] = []
    ask = Model.predict_queries.__get__(model)

    def counted(queries: Any, *arguments: Any, **options: Any) -> Any:
        if len(sizes) == stop_after:
            raise KeyboardInterrupt
        sizes.append(len(queries))
        return ask(queries, *arguments, **options)

    monkeypatch.setattr(model, "predict_queries", counted)
    return sizes


def wrong_in_places(model: Model) -> dict[str, list[Any]]:
    asked: dict[str, list[Any]] = dict(questions(model, ROWS))
    for row in (3, 20, 21, 59):
        asked["relation"][row] = f"relation of row {row}"
    return asked


@pytest.mark.parametrize("output", SUFFIXES)
@pytest.mark.parametrize("queries", SUFFIXES)
def test_both_files_are_those_of_an_uninterrupted_run(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, queries: str, output: str
) -> None:
    file = write_queries(tmp_path / f"queries{queries}", wrong_in_places(model), **_groups(queries, 20))
    whole = predict_file(model, file, tmp_path / f"whole{output}", k=2)
    for stop in (0, 1, 2, 3, 5, 8):
        answers = tmp_path / f"answers{output}"
        sizes = asked_of(model, monkeypatch, stop_after=stop)
        with pytest.raises(KeyboardInterrupt):
            predict_file(model, file, answers, k=2)
        assert not answers.exists()
        asked_before = sum(sizes)
        sizes = asked_of(model, monkeypatch)
        done = predict_file(model, file, answers, k=2)
        assert asked_before + sum(sizes) == ROWS - whole.bad, "no row is asked twice, and none is left out"
        assert done.resumed >= asked_before
        assert (done.rows, done.bad, done.answers) == (whole.rows, whole.bad, whole.answers) == (ROWS, 4, whole.answers)
        assert answers.read_bytes() == (tmp_path / f"whole{output}").read_bytes()
        bad, expected = (Path(f"{path}.bad.jsonl") for path in (answers, tmp_path / f"whole{output}"))
        assert bad.read_bytes() == expected.read_bytes()
        assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
        answers.unlink()
        bad.unlink()


def _groups(suffix: str, size: int) -> dict[str, Any]:
    return {"row_group_size": size} if suffix == ".parquet" else {}


@pytest.fixture
def begun(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of answers of which three parts are done."""
    file = write_queries(tmp_path / "queries.csv", questions(model, ROWS))
    with monkeypatch.context() as patch:
        asked_of(model, patch, stop_after=3)
        with pytest.raises(KeyboardInterrupt):
            predict_file(model, file, tmp_path / "answers.csv", k=2)
    return tmp_path / "answers.csv"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"k": 3},
            "answers.csv was begun with k 2 and now it is 3. Repeat what was begun to go on, or pass --overwrite",
        ),
        ({"k": 2, "filter_known": False}, "begun with filter_known null and now it is false"),
        ({"k": 2, "candidates": [1, 2]}, "begun with candidates null and now it is"),
    ],
)
def test_other_options_are_refused(model: Model, begun: Path, options: dict[str, Any], message: str) -> None:
    file = begun.parent / "queries.csv"
    with pytest.raises(DataError, match=message):
        predict_file(model, file, begun, **options)
    assert predict_file(model, file, begun, **options, overwrite=True).resumed == 0


def test_another_input_is_refused(model: Model, begun: Path) -> None:
    file = begun.parent / "queries.csv"
    asked = questions(model, ROWS)
    asked["relation"][59] = "relation 0" if asked["relation"][59] == "relation 1" else "relation 1"
    size = file.stat().st_size
    write_queries(file, asked)
    assert file.stat().st_size == size
    with pytest.raises(DataError, match=r"answers\.csv was begun with queries"):
        predict_file(model, file, begun, k=2)
    write_queries(file, questions(model, ROWS))  # the same again, at another time
    assert predict_file(model, file, begun, k=2).resumed == 3 * PART


def test_another_bundle_and_another_backend_are_refused(begun: Path, golden_bundle: Path) -> None:
    file = begun.parent / "queries.csv"
    with Model.load(golden_bundle, device="cpu") as other, pytest.raises(DataError, match="begun with bundle"):
        predict_file(other, file, begun, k=2)
    with Model.load(BUNDLE, backend="torch", device="cpu") as other, pytest.raises(DataError, match="begun with backe"):
        predict_file(other, file, begun, k=2)


def test_a_damaged_part_is_named(model: Model, begun: Path) -> None:
    parts = sorted(begun.with_name(f".{begun.name}.parts").glob("*.arrow"))
    assert len(parts) == 3
    parts[1].write_bytes(parts[1].read_bytes()[:100])
    with pytest.raises(DataError, match=r"000000000000007\.arrow is damaged .*Pass --overwrite"):
        predict_file(model, begun.parent / "queries.csv", begun, k=2)
    parts[1].unlink()  # what is behind a gap is answered again
    assert predict_file(model, begun.parent / "queries.csv", begun, k=2).resumed == PART


def test_a_file_that_changes_while_it_is_read_is_an_error(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_queries(tmp_path / "queries.csv", questions(model, ROWS))
    ask = model.predict_queries

    def changing(*arguments: Any, **options: Any) -> Any:
        with open(file, "a") as more:
            more.write("entity 1,relation 1,\n")
        return ask(*arguments, **options)

    monkeypatch.setattr(model, "predict_queries", changing)
    with pytest.raises(DataError, match=r"queries.csv was changed while it was read\. Begin anew"):
        predict_file(model, file, tmp_path / "answers.csv", k=2)
    assert not (tmp_path / "answers.csv").exists()


def test_of_two_runs_at_once_the_second_is_told_who_writes(model: Model, begun: Path) -> None:
    from threading import Thread

    from mmkg_sdk.batches.run import _FILE

    errors: list[str] = []

    def second() -> None:
        try:
            predict_file(model, begun.parent / "queries.csv", begun, k=2)
        except DataError as err:
            errors.append(str(err))

    with folder_lock(begun, _FILE):
        thread = Thread(target=second)
        thread.start()
        thread.join()
    assert errors == [f"{begun} is in use by process {os.getpid()}; wait for it, or pass another folder."]
