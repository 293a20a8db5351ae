"""What the answers of all four tasks have in common: tables, HTML, and the way out where a package is missing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

from mmkg_sdk import (
    Entity,
    ExtractedRelation,
    ExtractedRelations,
    FoundEntities,
    Link,
    Links,
    Mention,
    SentenceEntities,
)
from mmkg_sdk.answering.answers.answer import Answers
from mmkg_sdk.answering.answers.predictions import Predictions
from mmkg_sdk.files.labels import Labels

from .test_predictions import predictions_of

HOSTILE = "<script>alert('a & b')</script>"
ESCAPED = "&lt;script&gt;alert(&#x27;a &amp; b&#x27;)&lt;/script&gt;"


def links(*, units: bool = False) -> Links:
    said = {"text": np.float32([0.5, 1.5]), "image": np.float32([2.5, 0.5])} if units else None
    mention = Mention("Georgia", HOSTILE)
    link = Link(mention, np.array([7, 2]), np.float32([1.5, 1.0]), ("Georgia", "Georgia (font)"), said)
    return Links([link], 2, said or ())


def relations() -> ExtractedRelations:
    labels = Labels(["none", HOSTILE, "capital of"], kind="relation")
    answers = [
        ExtractedRelation("Lima is in Peru.", "Lima", "Peru", np.float32([0.25, 0.25, 0.5]), labels),
        ExtractedRelation("Oslo or Lima", "Oslo", "Lima", np.float32([0.125, 0.75, 0.125]), labels),
    ]
    return ExtractedRelations(answers)


def entities() -> FoundEntities:
    cut = SentenceEntities("Ann saw Oslo", ("Ann", "saw", "Oslo"), 1, (Entity("Ann", "PER", (0, 1), (0, 3)),))
    shown = SentenceEntities(HOSTILE, (HOSTILE,), 1, (Entity(HOSTILE, "MISC", (0, 1), (0, len(HOSTILE))),))
    return FoundEntities([cut, SentenceEntities("none here", ("none", "here"), 2, ()), shown])


def predictions() -> Predictions:
    return predictions_of([[(5, 0.5)]], [(3, 0, 0)], [[0]])


# The rows of each, without the number of the query.
TABLES: dict[str, tuple[Callable[[], Answers], list[dict[str, object]]]] = {
    "links": (
        lambda: links(units=True),
        [
            {"number": 0, "mention": "Georgia", "sentence": HOSTILE, "rank": 1, "id": 7, "label": "Georgia"}
            | {"score": 1.5, "text_score": 0.5, "image_score": 2.5},
            {"number": 0, "mention": "Georgia", "sentence": HOSTILE, "rank": 2, "id": 2, "label": "Georgia (font)"}
            | {"score": 1.0, "text_score": 1.5, "image_score": 0.5},
        ],
    ),
    "relations": (
        relations,
        [
            {"number": 0, "sentence": "Lima is in Peru.", "head": "Lima", "relation": "capital of", "tail": "Peru"}
            | {"rank": 1, "id": 2, "score": 0.5},
            {"number": 1, "sentence": "Oslo or Lima", "head": "Oslo", "relation": HOSTILE, "tail": "Lima"}
            | {"rank": 1, "id": 1, "score": 0.75},
        ],
    ),
    "entities": (
        entities,
        [
            {"number": 0, "sentence": "Ann saw Oslo", "text": "Ann", "kind": "PER"}
            | {"word_start": 0, "word_end": 1, "character_start": 0, "character_end": 3},
            {"number": 2, "sentence": HOSTILE, "text": HOSTILE, "kind": "MISC"}
            | {"word_start": 0, "word_end": 1, "character_start": 0, "character_end": len(HOSTILE)},
        ],
    ),
}


@pytest.mark.parametrize("name", TABLES)
def test_pandas_and_arrow_have_the_same_rows(name: str) -> None:
    pytest.importorskip("pandas", reason="pandas is not installed")
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    make, rows = TABLES[name]
    assert make().to_pandas().to_dict("records") == rows
    assert make().to_arrow().to_pylist() == rows


@pytest.mark.parametrize("empty", [Links([], 3), ExtractedRelations([]), FoundEntities([]), predictions_of([], [])])
def test_a_table_without_rows_has_the_same_types(empty: Answers) -> None:
    pytest.importorskip("pandas", reason="pandas is not installed")
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    full = {Links: links, ExtractedRelations: relations, FoundEntities: entities, Predictions: predictions}[
        type(empty)
    ]()
    assert empty.to_arrow().schema == full.to_arrow().schema
    assert empty.to_pandas().dtypes.to_dict() == full.to_pandas().dtypes.to_dict()
    assert len(empty.to_pandas()) == 0


TEXT, NUMBER = "dictionary<values=string, indices=int32, ordered=0>", "int64"
TYPES = {
    "predictions": {"number": NUMBER, "query": TEXT, "head": TEXT, "relation": TEXT, "tail": TEXT, "direction": TEXT}
    | {"rank": NUMBER, "id": NUMBER, "label": TEXT, "score": "float"},
    "links": {"number": NUMBER, "mention": TEXT, "sentence": TEXT, "rank": NUMBER, "id": NUMBER, "label": TEXT}
    | {"score": "float", "text_score": "float", "image_score": "float"},
    "relations": {"number": NUMBER, "sentence": TEXT, "head": TEXT, "relation": TEXT, "tail": TEXT, "rank": NUMBER}
    | {"id": NUMBER, "score": "float"},
    "entities": {"number": NUMBER, "sentence": TEXT, "text": TEXT, "kind": TEXT}
    | dict.fromkeys(("word_start", "word_end", "character_start", "character_end"), NUMBER),
}


@pytest.mark.parametrize("name", TYPES)
def test_the_types_of_arrow_are_those_of_the_documents(name: str) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    table = (predictions if name == "predictions" else TABLES[name][0])().to_arrow()
    assert {field.name: str(field.type) for field in table.schema} == TYPES[name]
    assert table.validate(full=True) is None


def test_every_text_is_in_a_table_of_arrow_once_and_no_other() -> None:
    """However many rows have it, and however many labels a bundle has."""
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    table = predictions_of([[(5, 0.5), (0, 0.25)]] * 300, [(3, 0, 0)] * 300).to_arrow()
    assert len(table) == 600
    dictionaries = {name: table[name].chunk(0).dictionary.to_pylist() for name in ("query", "label", "relation")}
    assert dictionaries == {
        "query": ["(Norway, capital, ?)"],
        "label": ["Oslo", "Norway", "<b>"],
        "relation": ["capital"],
    }


def test_several_relations_of_each_mention_are_ranked_in_a_table() -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    table = ExtractedRelations(list(relations()), k=2).to_arrow().select(["number", "rank", "relation", "id", "score"])
    assert list(zip(*table.to_pydict().values(), strict=True)) == [
        (0, 1, "capital of", 2, 0.5),
        (0, 2, "none", 0, 0.25),
        (1, 1, HOSTILE, 1, 0.75),
        (1, 2, "none", 0, 0.125),
    ]


@pytest.mark.parametrize("answers", [links(), relations(), entities()], ids=lambda value: type(value).__name__)
def test_html_escapes_what_labels_and_sentences_hold(answers: Answers) -> None:
    shown = answers._repr_html_()
    assert ESCAPED in shown
    assert "<script" not in shown
    assert shown.startswith("<table>\n<tr><th>number</th>")


def test_html_says_what_was_left_out_or_not_read() -> None:
    assert '<td>0</td><td colspan="9">1 known answer left out: Oslo</td>' in predictions()._repr_html_()
    assert "only the first 1 of 3 words were read" in entities()._repr_html_()
    assert '<td>1</td><td colspan="7">no entity</td>' in entities()._repr_html_()


def test_a_slice_of_answers_is_a_list() -> None:
    assert [one.head for one in relations()[::-1]] == ["Oslo", "Lima"]
    assert relations()[-1].label == HOSTILE
    with pytest.raises(IndexError):
        relations()[2]


def test_k_of_an_extracted_relation_is_checked() -> None:
    from mmkg_sdk import QueryError

    (one, _) = relations()
    assert [answer["id"] for answer in one.to_json(2)["answers"]] == [2, 0]
    with pytest.raises(QueryError, match="k is -1; expected a whole number from 1"):
        one.ranked(-1)


@pytest.mark.parametrize(("package", "method"), [("pandas", "to_pandas"), ("pyarrow", "to_arrow")])
def test_a_missing_package_is_named_with_the_command_that_installs_it(package: str, method: str) -> None:
    code = (
        f"import sys; sys.modules[{package!r}] = None; import mmkg_sdk\n"
        f"try: mmkg_sdk.FoundEntities([]).{method}()\n"
        "except mmkg_sdk.BackendError as err: print(err)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert f"{method}() needs {package}, which is not installed. Run: pip install 'mmkg_sdk[tables]'" in done.stdout
