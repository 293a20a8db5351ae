"""Files of queries answered by a Model: what the model answers to lists, in every format."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="pyarrow is not installed")

import pyarrow
import pyarrow.parquet

from mmkg_sdk import DataError, Model, QueryError
from mmkg_sdk.batches import predict_file
from tests.batches.query_files import SUFFIXES, bad_rows, read_answers, write_queries
from tests.places import ROOT

BUNDLE = ROOT / "tests" / "released" / "0.2.0" / "mygo"


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    with Model.load(BUNDLE, device="cpu") as opened:
        yield opened


def questions(model: Model, count: int) -> dict[str, list[str | None]]:
    """Queries of both directions by labels, most of them several times."""
    random = np.random.default_rng(7)
    names = [model.entities[i] for i in random.integers(0, len(model.entities), count).tolist()]
    sides = random.integers(0, 2, count).tolist()
    return {
        "head": [name if side else None for name, side in zip(names, sides, strict=True)],
        "relation": [model.relations[i] for i in random.integers(0, len(model.relations), count).tolist()],
        "tail": [None if side else name for name, side in zip(names, sides, strict=True)],
    }


def one_by_one(model: Model, asked: dict[str, list[Any]], k: int, **options: Any) -> list[dict[str, Any]]:
    """What the model answers when it is asked one query after the other."""
    rows = []
    for number, (head, relation, tail) in enumerate(zip(*asked.values(), strict=True)):
        if head is not None:
            (found,) = model.predict_tails(head, relation, k, **options)
        else:
            (found,) = model.predict_heads(relation, tail, k, **options)
        for rank, (place, label, score) in enumerate(
            zip(found.ids.tolist(), found.labels, found.scores.tolist(), strict=True), start=1
        ):
            rows.append(
                {"number": number, "query": found.query, "head": found.head or label, "relation": relation}
                | {"tail": found.tail or label, "direction": found.direction, "rank": rank, "id": place}
                | {"label": label, "score": score}
            )
    return rows


@pytest.mark.parametrize("output", SUFFIXES)
@pytest.mark.parametrize("queries", SUFFIXES)
def test_a_file_has_the_answers_that_single_queries_have(
    model: Model, tmp_path: Path, queries: str, output: str
) -> None:
    asked = questions(model, 60)
    file = write_queries(tmp_path / f"queries{queries}", asked)
    done = predict_file(model, file, tmp_path / f"answers{output}", k=3)
    expected = one_by_one(model, asked, 3)
    assert read_answers(tmp_path / f"answers{output}") == expected
    assert (done.rows, done.bad, done.answers, done.resumed, done.bad_rows) == (60, 0, len(expected), 0, None)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"answers{output}", f"queries{queries}"]


@pytest.mark.parametrize("options", [{"filter_known": False}, {"candidates": ["entity 1", 4, 7]}])
def test_options_are_those_of_the_model(model: Model, tmp_path: Path, options: dict[str, Any]) -> None:
    asked = questions(model, 30)
    file = write_queries(tmp_path / "queries.csv", asked)
    predict_file(model, file, tmp_path / "answers.parquet", k=2, **options)
    assert read_answers(tmp_path / "answers.parquet") == one_by_one(model, asked, 2, **options)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_ids_are_as_good_as_labels(model: Model, tmp_path: Path, suffix: str) -> None:
    asked = {"relation": [1, 0, 1], "head": [3, 8, 0]}
    file = write_queries(tmp_path / f"queries{suffix}", asked)
    predict_file(model, file, tmp_path / "answers.parquet", k=4)
    named = {"head": [3, 8, 0], "relation": [model.relations[i] for i in (1, 0, 1)], "tail": [None] * 3}
    assert read_answers(tmp_path / "answers.parquet") == one_by_one(model, named, 4)


@pytest.mark.parametrize("kind", ["int8", "uint64", "string", "large_string", "dictionary"])
def test_every_type_that_may_hold_labels_or_ids_is_read(model: Model, tmp_path: Path, kind: str) -> None:
    values = pyarrow.array([3, None, 3, 5]) if "int" in kind else pyarrow.array(["entity 3", None, "entity 3", "x"])
    heads = values.dictionary_encode() if kind == "dictionary" else values.cast(kind)
    table = pyarrow.table({"head": heads, "relation": ["relation 1"] * 4})
    pyarrow.parquet.write_table(table, tmp_path / "queries.parquet")
    done = predict_file(model, tmp_path / "queries.parquet", tmp_path / "answers.parquet", k=1)
    assert done.bad == (1 if "int" in kind else 2)
    assert {row["head"] for row in read_answers(tmp_path / "answers.parquet")} <= {"entity 3", "entity 5"}


# What is wrong with each row, by format; row 1 is right.
REASONS = [
    (0, "unknown entity 'nobody'"),
    (2, "head and tail are null; expected one of them"),
    (3, "neither head nor tail is null, so nothing is asked for"),
    (4, "relation is null"),
    (5, "unknown relation 'entity 1'"),
]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_rows_that_are_wrong_are_named_and_the_others_answered(model: Model, tmp_path: Path, suffix: str) -> None:
    asked = {
        "head": ["nobody", "entity 2", None, "entity 1", "entity 1", "entity 1"],
        "relation": ["relation 1", "relation 0", "relation 0", "relation 0", None, "entity 1"],
        "tail": [None, None, None, "entity 1", None, None],
        "other": ["passed over"] * 6,
    }
    file = write_queries(tmp_path / f"queries{suffix}", asked)
    done = predict_file(model, file, tmp_path / "answers.jsonl", k=2)
    assert bad_rows(tmp_path / "answers.jsonl") == REASONS
    assert (done.rows, done.bad, str(done.bad_rows)) == (6, 5, f"{tmp_path / 'answers.jsonl'}.bad.jsonl")
    (found,) = model.predict_tails("entity 2", "relation 0", 2)
    answers = read_answers(tmp_path / "answers.jsonl")
    assert [(row["number"], row["label"], row["score"]) for row in answers] == [(1, *answer) for answer in found]
    # Where the rows were put right, the old file of bad rows goes.
    write_queries(file, questions(model, 3))
    predict_file(model, file, tmp_path / "answers.jsonl", k=2, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answers.jsonl", f"queries{suffix}"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"head": true, "relation": 0}', "entity is True (bool); expected a label or an id"),
        ('{"head": 1.0, "relation": 0}', "entity is 1.0 (float); expected a label or an id"),
        ('{"head": ["entity 1"], "relation": 0}', "entity is ['entity 1'] (list); expected a label or an id"),
        ('{"head": 9, "relation": 0}', "entity id 9 is out of range; ids are 0 to 8"),
        ('{"head": -1, "relation": 0}', "entity id -1 is out of range; ids are 0 to 8"),
        ('{"head": "3", "relation": 0}', "unknown entity '3'"),
        ('{"head": 1, "relation": 99999999999999999999999}', "relation id 99999999999999999999999 is out of range"),
        ('{"head": "entity 1"}', "relation is null"),
        ('{"head": "entity 1", "head": 1, "relation": 0}', "JSON that cannot be read: key 'head' stands there twice"),
        ('{"head": NaN, "relation": 0}', "JSON that cannot be read: NaN is not JSON"),
        ('{"head": "entity 1", "rel', "not JSON: Invalid control character"),
        ("[1, 2]", "list in JSON; expected an object"),
        ("[" * 100_000, "JSON that cannot be read: "),
        ("\x00", "not JSON"),
        ('{"head": "' + "x" * 2_000_000 + '", "relation": 0}', "a line of more than 1,048,576 bytes"),
        ('{"head": "' + "x" * 100_000 + '", "relation": 0}', "unknown entity 'xxx"),
    ],
    ids=lambda text: text[:30],
)
def test_a_line_of_json_that_is_none_is_a_bad_row(model: Model, tmp_path: Path, line: str, reason: str) -> None:
    good = '{"head": "entity 1", "relation": 0}\n'
    (tmp_path / "queries.jsonl").write_text(f"{good}\n{line}\n{good}")
    done = predict_file(model, tmp_path / "queries.jsonl", tmp_path / "answers.parquet", k=1)
    assert (done.rows, done.bad) == (3, 1)
    ((row, found),) = bad_rows(tmp_path / "answers.parquet")
    assert row == 1
    assert found.startswith(reason)
    assert len(found) < 300
    assert {answer["number"] for answer in read_answers(tmp_path / "answers.parquet")} == {0, 2}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"entity 1", "1 cells; expected 2, as in the header"),
        (b"entity 1,relation 1,x", "3 cells; expected 2, as in the header"),
        (b'"entity 1"x,relation 1', "no line of CSV: ',' expected after '\"'"),
        (b"entity \xff,relation 1", r"unknown entity 'entity \udcff'"),
        (b"x" * 200_000 + b",relation 1", "no line of CSV: field larger than field limit (131072)"),
        (b"x" * 2_000_000, "no line of CSV: field larger than field limit (131072)"),
        (b"entity 1,relation 1" + b"," * 2_000_000, "a line of more than 1,048,576 bytes"),
        (b"9,relation 1", "entity id 9 is out of range; ids are 0 to 8"),
        (b"99999999999999999999999,relation 1", "unknown entity '99999999999999999999999'"),
        (b"-1,relation 1", "unknown entity '-1'"),
    ],
    ids=lambda line: str(line)[:30],
)
def test_a_line_of_csv_that_is_none_is_a_bad_row(model: Model, tmp_path: Path, line: bytes, reason: str) -> None:
    good = b"entity 1,relation 1"
    content = [b"\xef\xbb\xbfhead,relation", good, b"", line, b'"entity 1",1']
    (tmp_path / "queries.csv").write_bytes(b"\r\n".join(content))
    done = predict_file(model, tmp_path / "queries.csv", tmp_path / "answers.parquet", k=1)
    assert bad_rows(tmp_path / "answers.parquet") == [(1, reason)]
    assert done.rows == 3
    assert {answer["number"] for answer in read_answers(tmp_path / "answers.parquet")} == {0, 2}


def test_a_quote_that_is_never_closed_costs_the_rows_in_it_and_says_so(model: Model, tmp_path: Path) -> None:
    (tmp_path / "queries.csv").write_text('head,relation\nentity 1,0\n"entity 1,0\nentity 1,0\n')
    predict_file(model, tmp_path / "queries.csv", tmp_path / "answers.csv", k=1)
    assert bad_rows(tmp_path / "answers.csv") == [(1, "no line of CSV: unexpected end of data")]


def test_texts_of_parquet_that_are_not_utf8_are_unknown(model: Model, tmp_path: Path) -> None:
    heads = pyarrow.array([b"entity 1", b"\xff"]).view(pyarrow.string())
    pyarrow.parquet.write_table(pyarrow.table({"head": heads, "relation": [1, 1]}), tmp_path / "queries.parquet")
    predict_file(model, tmp_path / "queries.parquet", tmp_path / "answers.csv", k=1)
    assert bad_rows(tmp_path / "answers.csv") == [(1, r"unknown entity '\udcff'")]


def test_a_long_text_in_many_rows_is_in_memory_once(model: Model, tmp_path: Path) -> None:
    """A file of some kilobytes, whose cells would have 80 GB."""
    text = pyarrow.DictionaryArray.from_arrays(np.zeros(8000, np.int32), pyarrow.array(["x" * 10_000_000]))
    table = pyarrow.table({"head": text, "relation": pyarrow.array([1] * 8000)})
    pyarrow.parquet.write_table(table, tmp_path / "queries.parquet", compression="zstd")
    assert (tmp_path / "queries.parquet").stat().st_size < 100_000
    done = predict_file(model, tmp_path / "queries.parquet", tmp_path / "answers.csv", k=1)
    assert (done.bad, done.answers) == (8000, 0)
    assert (tmp_path / "answers.csv.bad.jsonl").stat().st_size < 2_000_000


@pytest.mark.parametrize("output", SUFFIXES)
@pytest.mark.parametrize("queries", SUFFIXES)
def test_a_file_without_rows_gives_one_without_answers(model: Model, tmp_path: Path, queries: str, output: str) -> None:
    file = write_queries(tmp_path / f"queries{queries}", {"head": [], "relation": []})
    done = predict_file(model, file, tmp_path / f"answers{output}")
    assert (done.rows, done.answers) == (0, 0)
    assert read_answers(tmp_path / f"answers{output}") == []
    if output == ".parquet":
        (full,) = [model.predict_tails(1, 1, 1).to_arrow().schema]
        assert pyarrow.parquet.read_schema(tmp_path / "answers.parquet").equals(full)


def test_row_groups_of_any_size_are_read_some_rows_at_a_time(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = questions(model, 60)
    expected = one_by_one(model, asked, 2)
    sizes: list[int] = []
    ask = model.predict_queries

    def counted(queries: Any, *arguments: Any, **options: Any) -> Any:
        sizes.append(len(queries))
        return ask(queries, *arguments, **options)

    monkeypatch.setattr(model, "predict_queries", counted)
    monkeypatch.setattr("mmkg_sdk.batches.link_prediction._ROWS", 7)
    for size, parts in ((1, [7] * 8 + [4]), (3, [6] * 10), (5, [5] * 12), (20, [7, 7, 6] * 3), (60, [7] * 8 + [4])):
        file = write_queries(tmp_path / "queries.parquet", asked, row_group_size=size)
        predict_file(model, file, tmp_path / "answers.parquet", k=2, overwrite=True)
        assert (read_answers(tmp_path / "answers.parquet"), sizes) == (expected, parts)
        sizes.clear()


def test_many_answers_of_a_query_make_smaller_parts(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmkg_sdk.batches.link_prediction._ANSWERS", 10)
    file = write_queries(tmp_path / "queries.csv", questions(model, 5))
    for k in (1, 3, 3840):
        predict_file(model, file, tmp_path / "answers.csv", k=k, overwrite=True)
        assert read_answers(tmp_path / "answers.csv") == one_by_one(model, questions(model, 5), k)


# ---- what is refused at the door -------------------------------------------------------------------------------------


def refused(model: Model, queries: Path, output: Path, message: str, kind: type[Exception] = DataError) -> None:
    before = sorted(path.name for path in queries.parent.iterdir())
    with pytest.raises(kind, match=message):
        predict_file(model, queries, output)
    assert sorted(path.name for path in queries.parent.iterdir()) == before


@pytest.mark.parametrize("keep", [0, 3, 4, 100, -1, -4, -5, -20])
def test_a_truncated_parquet_is_refused(model: Model, tmp_path: Path, keep: int) -> None:
    whole = write_queries(tmp_path / "whole.parquet", questions(model, 50)).read_bytes()
    (tmp_path / "queries.parquet").write_bytes(whole[:keep])
    refused(
        model, tmp_path / "queries.parquet", tmp_path / "answers.csv", "queries.parquet cannot be read as Parquet: "
    )


def test_a_parquet_with_a_damaged_page_is_an_error_and_no_answer(model: Model, tmp_path: Path) -> None:
    file = write_queries(tmp_path / "queries.parquet", questions(model, 50), write_page_checksum=True)
    content = bytearray(file.read_bytes())
    content[4:60] = bytes(56)
    file.write_bytes(content)
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        predict_file(model, file, tmp_path / "answers.csv")
    assert not (tmp_path / "answers.csv").exists()


@pytest.mark.parametrize("kind", ["float64", "bool", "date32", "binary", "list<item: string>"])
def test_a_column_of_another_type_is_refused(model: Model, tmp_path: Path, kind: str) -> None:
    types = {"list<item: string>": pyarrow.list_(pyarrow.string())}
    heads = pyarrow.array([None], types.get(kind) or getattr(pyarrow, {"bool": "bool_"}.get(kind, kind))())
    pyarrow.parquet.write_table(pyarrow.table({"head": heads, "relation": ["r"]}), tmp_path / "queries.parquet")
    refused(
        model, tmp_path / "queries.parquet", tmp_path / "answers.csv", "column 'head' is .*; expected texts or whole"
    )


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_columns_that_lack_are_named_with_those_that_are_there(model: Model, tmp_path: Path, suffix: str) -> None:
    file = write_queries(tmp_path / f"queries{suffix}", {"head": ["a"], "reltion": ["b"]})
    refused(model, file, tmp_path / "answers.csv", "column 'relation' is there 0 times; found 'head', 'reltion'. Expe")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "column 'relation' is there 0 times; found none"),
        ("relation,relation\na,b\n", "column 'relation' is there 2 times"),
        ("relation,head,head\na,b,c\n", "column 'head' is there 2 times"),
        ("relation\thead\n", r"found 'relation\\thead'"),
        ("relation;head\n", "found 'relation;head'"),
        ('"relation"x,head\n', "the header is no line of CSV"),
        ("x" * 200_000, "the header is no line of CSV"),
    ],
    ids=lambda text: text[:20],
)
def test_a_wrong_header_is_refused(model: Model, tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "queries.csv").write_text(content)
    refused(model, tmp_path / "queries.csv", tmp_path / "answers.csv", message)


def test_a_row_group_that_would_fill_the_memory_is_refused(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_queries(tmp_path / "queries.parquet", questions(model, 50))
    monkeypatch.setenv("MMKG_MAX_FILE_BYTES", "20")
    refused(
        model,
        file,
        tmp_path / "answers.csv",
        r"column '(head|relation)' of row group 0 has \d+ bytes, which could fill",
    )


def test_places_that_files_cannot_have_are_refused(model: Model, tmp_path: Path) -> None:
    asked = questions(model, 3)
    file = write_queries(tmp_path / "queries.csv", asked)
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "link.csv").symlink_to("queries.csv")
    for queries, output, message in (
        ("queries.txt", "answers.csv", "a file of queries ends in .parquet, .csv, .jsonl; found '.txt'"),
        ("queries.csv", "answers", "a file of answers ends in .parquet, .csv, .jsonl; found no suffix"),
        ("gone.csv", "answers.csv", "cannot read .*gone.csv: No such file"),
        ("folder.csv", "answers.csv", "is no regular file"),
        ("queries.csv", "gone/answers.csv", "gone is no folder. Make it"),
        ("queries.csv", "folder.csv", "folder.csv is no regular file, and is left alone"),
        ("queries.csv", "queries.csv", "are three files"),
        ("queries.csv", "link.csv", "are three files"),
    ):
        refused(model, tmp_path / queries, tmp_path / output, message)
    with pytest.raises(DataError, match="are three files"):
        predict_file(model, file, tmp_path / "answers.csv", bad_rows=tmp_path / "answers.csv")
    with pytest.raises(QueryError, match="k is 0"):
        predict_file(model, file, tmp_path / "answers.csv", k=0)
    with pytest.raises(QueryError, match="unknown entity 'nobody'"):
        predict_file(model, file, tmp_path / "answers.csv", candidates=["nobody"])
    (tmp_path / "answers.csv").write_text("mine")
    refused(model, file, tmp_path / "answers.csv", "answers.csv exists already. Pass --overwrite")
    assert (tmp_path / "answers.csv").read_text() == "mine"
    (tmp_path / "answers.csv").rename(tmp_path / "answers.csv.bad.jsonl")
    refused(model, file, tmp_path / "answers.csv", "answers.csv.bad.jsonl exists already")


def test_a_pipe_is_not_waited_for(model: Model, tmp_path: Path) -> None:
    import os

    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no pipes as files")
    for suffix in SUFFIXES:
        os.mkfifo(tmp_path / f"pipe{suffix}")
        refused(model, tmp_path / f"pipe{suffix}", tmp_path / "answers.csv", "is no regular file")
