"""New entities from a table of text: a bundle with them, and every way that the table can be wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mmkg_sdk import Model
from mmkg_sdk.answering.new_entities import add_to_bundle
from mmkg_sdk.errors import DataError, ExportError, QueryError
from tests.cli.running import ask
from tests.places import ROOT

RELEASED = ROOT / "tests" / "released" / "0.2.0"
MYGO, ADAMF = RELEASED / "mygo", RELEASED / "adamf_mat"
TOKENS = "label\tvisual_tokens\ttext_tokens\nAtlantis\t0 1\t1\nThule\t\t0\n"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "new.tsv"
    path.write_text(TOKENS)
    return path


@pytest.fixture
def features(tmp_path: Path) -> dict[str, Path]:
    """A matrix of three rows for each modality."""
    with Model.load(ADAMF, device="cpu") as model:
        widths = {name: model.bundle.inputs[f"{name}_features"].shape[1] for name in ("visual", "text")}
    for number, (name, width) in enumerate(widths.items()):
        np.save(tmp_path / f"{name}.npy", np.random.default_rng(number).standard_normal((3, width), np.float32))
    return {name: tmp_path / f"{name}.npy" for name in widths}


def test_tokens_of_a_table_are_what_add_entities_takes(table: Path, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in MYGO.iterdir()}
    done = ask("bundle", "add", MYGO, "--entities", table, "--out", tmp_path / "new", "--json")
    assert json.loads(done.stdout) == {"out": str(tmp_path / "new"), "added": 2, "entities": 11}
    with Model.load(MYGO, device="cpu") as model, Model.load(tmp_path / "new", device="cpu") as found:
        model.add_entities(["Atlantis", "Thule"], visual_tokens=[[0, 1], []], text_tokens=[[1], [0]])
        assert found.entities == model.entities
        assert found.table.tobytes() == model.table.tobytes()
    assert {path.name: path.read_bytes() for path in MYGO.iterdir()} == before


def test_features_come_by_rows_of_a_matrix_or_in_order(features: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "new.tsv"
    path.write_text("label\tvisual_features\na\t2\nb\t\nc\t0\n")
    options = [f"--features={'image' if name == 'visual' else name}={file}" for name, file in features.items()]
    ask("bundle", "add", ADAMF, "--entities", path, *options, "--out", tmp_path / "new")
    matrices = {name: np.load(file) for name, file in features.items()}
    with Model.load(ADAMF, device="cpu") as model, Model.load(tmp_path / "new", device="cpu") as found:
        visual, lacks = matrices["visual"][[2, 1, 0]], np.array([False, True, False])
        model.add_entities(["a", "b", "c"], features=matrices | {"visual": visual}, masks={"visual": lacks})
        assert found.entities[-3:] == ("a", "b", "c")
        assert found.table.tobytes() == model.table.tobytes()


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("", DataError, "no column `label`"),
        ("label\tvisual_tokens\ttext_tokens\n", DataError, "has no line below the names"),
        ("Atlantis\t0 1\t1\n", DataError, r":1: column 'Atlantis'; expected `label`"),
        ("visual_tokens\ttext_tokens\n0\t1\n", DataError, "no column `label`"),
        ("label\tlabel\na\tb\n", DataError, r":1: column 'label'"),
        ("label\tvisual_tokens\ttext_tokens\na\t0\n", DataError, r"new.tsv:2: expected 3 columns"),
        ("label\tvisual_tokens\ttext_tokens\na\t0\t1\nb\tone\t1\n", DataError, r"new.tsv:3: visual_tokens is 'one'"),
        ("label\tvisual_tokens\ttext_tokens\na\t-1\t1\n", DataError, r"new.tsv:2: visual_tokens is '-1'"),
        (
            "label\tvisual_tokens\ttext_tokens\na\t99999\t1\n",
            QueryError,
            "visual token 99999 .* not in the codebook",
        ),
        ("label\tvisual_tokens\na\t1\n", QueryError, "no text tokens given"),
        ("label\tvisual_tokens\ttext_tokens\taudio_tokens\na\t1\t1\t1\n", QueryError, "tokens has 'audio'"),
        ("label\tvisual_tokens\ttext_tokens\na\t1\t1\na\t1\t1\n", QueryError, "label 'a' stands at"),
        ("label\tvisual_tokens\ttext_tokens\n\t1\t1\n", QueryError, "a label is one non-empty line"),
        ("label\tvisual_features\na\t1\n", DataError, "goes with a matrix: --features visual=FILE"),
        ("label\na\n", QueryError, "no visual tokens given"),
    ],
)
def test_a_table_that_is_wrong_is_refused_and_nothing_is_written(
    tmp_path: Path, text: str, error: type[Exception], message: str
) -> None:
    path = tmp_path / "new.tsv"
    path.write_text(text)
    with pytest.raises(error, match=message):
        add_to_bundle(MYGO, path, tmp_path / "new")
    assert sorted(found.name for found in tmp_path.iterdir() if found.suffix != ".lock") == ["new.tsv"]


def test_a_label_that_is_taken_is_refused(tmp_path: Path) -> None:
    with Model.load(MYGO, device="cpu") as model:
        taken = model.entities[3]
    path = tmp_path / "new.tsv"
    path.write_text(f"label\tvisual_tokens\ttext_tokens\n{taken}\t0\t0\n")
    with pytest.raises(QueryError, match="exists already"):
        add_to_bundle(MYGO, path, tmp_path / "new")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("label\na\nb\n", r"visual.npy has 3 rows, and .*new.tsv 2 entities. Name the row of each in a column"),
        ("label\tvisual_features\ttext_features\na\t3\t0\n", r"new.tsv:2: row 3 of .*visual.npy, which has 3"),
        (
            "label\tvisual_features\ttext_features\na\t0 1\t0\n",
            "visual_features is '0 1'; expected one row, or",
        ),
    ],
)
def test_rows_that_a_matrix_has_not_are_refused(
    features: dict[str, Path], tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "new.tsv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        add_to_bundle(ADAMF, path, tmp_path / "new", features=features)


def test_nan_in_a_matrix_and_another_width_are_refused(features: dict[str, Path], table: Path, tmp_path: Path) -> None:
    path = tmp_path / "new.tsv"
    path.write_text("label\na\nb\nc\n")
    matrix = np.load(features["text"])
    np.save(features["text"], matrix[:, :-1])
    with pytest.raises(QueryError, match="text_features is float32"):
        add_to_bundle(ADAMF, path, tmp_path / "new", features=features)
    matrix[1, 0] = np.nan
    np.save(features["text"], matrix)
    with pytest.raises(DataError, match="not finite, the first in row 1"):
        add_to_bundle(ADAMF, path, tmp_path / "new", features=features)


def test_what_stands_there_is_replaced_only_where_that_is_asked(table: Path, tmp_path: Path) -> None:
    add_to_bundle(MYGO, table, tmp_path / "new")
    with pytest.raises(ExportError, match="holds a bundle already"):
        add_to_bundle(MYGO, table, tmp_path / "new")
    table.write_text(TOKENS.replace("Atlantis", "Avalon"))
    ask("bundle", "add", MYGO, "--entities", table, "--out", tmp_path / "new", "--overwrite")
    with Model.load(tmp_path / "new", device="cpu") as model:
        assert "Avalon" in model.entities


def test_features_without_a_name_are_wrong_usage(table: Path, tmp_path: Path) -> None:
    done = ask("bundle", "add", MYGO, "--entities", table, "--features", "x.npy", "--out", tmp_path / "new", code=2)
    assert "expected NAME=FILE" in done.output
