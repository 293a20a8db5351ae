"""Files of mentions and sentences, answered by Linker, Extractor and Tagger: what these answer to lists."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyarrow", reason="pyarrow is not installed")

import pyarrow
import pyarrow.parquet

from mmkg_sdk import (
    ExtractedRelations,
    Extractor,
    Linker,
    Mention,
    QueryError,
    RelationMention,
    SentenceImages,
    Tagger,
)
from mmkg_sdk.batches import extract_file, link_file, tag_file
from mmkg_sdk.batches.texts import ask_each
from tests.batches.query_files import SUFFIXES, bad_rows, read_answers, write_queries

SENTENCE = "The actor wrote a song, the film from germany."


@pytest.fixture(scope="module")
def linker(small_bundle: Path) -> Iterator[Linker]:
    with Linker.load(small_bundle, device="cpu") as opened:
        yield opened


@pytest.fixture
def image(tmp_path: Path) -> str:
    from PIL import Image

    Image.new("RGB", (40, 40), "red").save(tmp_path / "red.png")
    return str(tmp_path / "red.png")


def renumbered(answers: Any, places: list[int]) -> list[dict[str, Any]]:
    """The rows of a table, each with the place of its query in the file."""
    return [{**row, "number": places[row["number"]]} for row in answers.to_arrow().to_pylist()]


@pytest.mark.parametrize("output", SUFFIXES)
@pytest.mark.parametrize("queries", SUFFIXES)
def test_mentions_are_linked_as_lists_of_them_are(
    linker: Linker, tmp_path: Path, image: str, queries: str, output: str
) -> None:
    asked = {
        "mention": ["Georgia", None, "Jordan", " ", "Georgia"],
        "sentence": ["Georgia has old wine.", "x", None, "y", 'In "Georgia",\na font'],
        "image": [None, None, image, None, str(tmp_path / "gone.png")],
    }
    file = write_queries(tmp_path / f"mentions{queries}", asked)
    done = link_file(linker, file, tmp_path / f"links{output}", k=2, explain=True)
    mentions = [Mention("Georgia", "Georgia has old wine."), Mention("Jordan", "", image)]
    assert read_answers(tmp_path / f"links{output}") == renumbered(
        linker.link_mentions(mentions, 2, explain=True), [0, 2]
    )
    assert (done.rows, done.bad) == (5, 3)
    first, second, third = bad_rows(tmp_path / f"links{output}")
    assert first == (1, "mention is null")
    assert second == (3, "text is ' '; expected the name that is to be linked.")
    assert third[0] == 4
    assert "gone.png" in third[1]


def test_candidates_of_a_file_of_mentions(linker: Linker, tmp_path: Path) -> None:
    file = write_queries(tmp_path / "mentions.csv", {"mention": ["Georgia"] * 3})
    link_file(linker, file, tmp_path / "links.parquet", candidates=["Georgia (font)", 6])
    assert [row["id"] for row in read_answers(tmp_path / "links.parquet") if row["rank"] == 1] != []
    assert {row["id"] for row in read_answers(tmp_path / "links.parquet")} == {2, 6}
    with pytest.raises(QueryError, match="unknown entity 'nobody'"):
        link_file(linker, file, tmp_path / "other.parquet", candidates=["nobody"])


def test_where_every_mention_is_wrong_the_table_has_its_columns(linker: Linker, tmp_path: Path) -> None:
    file = write_queries(tmp_path / "mentions.jsonl", {"mention": [1, ["a"]]})
    link_file(linker, file, tmp_path / "links.parquet", explain=True)
    expected = linker.link_mentions(Mention("a", ""), explain=True).to_arrow().schema
    assert pyarrow.parquet.read_schema(tmp_path / "links.parquet").equals(expected)
    assert bad_rows(tmp_path / "links.parquet") == [
        (0, "mention is 1 (int); expected a text"),
        (1, "mention is ['a'] (list); expected a text"),
    ]


@pytest.mark.parametrize("output", SUFFIXES)
@pytest.mark.parametrize("queries", SUFFIXES)
def test_relations_are_extracted_as_those_of_lists_are(
    extractor: Extractor, tmp_path: Path, image: str, queries: str, output: str
) -> None:
    asked = {
        "sentence": [SENTENCE, SENTENCE, SENTENCE, "", SENTENCE],
        "head": ["actor", "norway", "song", "a", "the"],
        "tail": ["germany", "germany", "film", "b", None],
        "image": [None, None, image, None, None],
    }
    file = write_queries(tmp_path / f"sentences{queries}", asked)
    done = extract_file(extractor, file, tmp_path / f"relations{output}", k=2)
    found = extractor.extract_relations(
        [RelationMention(SENTENCE, "actor", "germany"), RelationMention(SENTENCE, "song", "film", image)]
    )
    expected = renumbered(ExtractedRelations(list(found), k=2), [0, 2])
    assert read_answers(tmp_path / f"relations{output}") == expected
    assert (done.rows, done.bad, done.answers) == (5, 3, 4)
    reasons = bad_rows(tmp_path / f"relations{output}")
    assert [row for row, _ in reasons] == [1, 3, 4]
    assert reasons[0][1].startswith("head 'norway' stands 0 times")
    assert reasons[1][1].startswith("sentence is null" if queries == ".csv" else "head 'a' stands 0 times")
    assert reasons[2][1] == "tail is null"


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl"])
def test_crops_are_lists(extractor: Extractor, tmp_path: Path, image: str, suffix: str) -> None:
    aux = [[image, image], [], None, [image]]
    asked = {"sentence": [SENTENCE] * 4, "head": ["actor"] * 4, "tail": ["song"] * 4, "aux": aux}
    extract_file(extractor, write_queries(tmp_path / f"sentences{suffix}", asked), tmp_path / "relations.parquet")
    mentions = [RelationMention(SENTENCE, "actor", "song", SentenceImages(aux=crops or ())) for crops in aux]
    assert read_answers(tmp_path / "relations.parquet") == extractor.extract_relations(mentions).to_arrow().to_pylist()


def test_a_crop_that_is_no_text_is_a_bad_row(extractor: Extractor, tmp_path: Path) -> None:
    asked = {"sentence": [SENTENCE], "head": ["actor"], "tail": ["song"], "rcnn": [[1]]}
    extract_file(extractor, write_queries(tmp_path / "sentences.jsonl", asked), tmp_path / "relations.csv")
    assert bad_rows(tmp_path / "relations.csv") == [(0, "rcnn is [1] (list); expected a list of texts")]


@pytest.mark.parametrize("output", SUFFIXES)
@pytest.mark.parametrize("queries", SUFFIXES)
def test_sentences_are_tagged_as_lists_of_them_are(
    tagger: Tagger, tmp_path: Path, image: str, queries: str, output: str
) -> None:
    asked = {
        "sentence": [SENTENCE, "the film", None, SENTENCE, SENTENCE],
        "image": [None, None, None, image, "a\0b"],
    }
    file = write_queries(tmp_path / f"sentences{queries}", asked)
    done = tag_file(tagger, file, tmp_path / f"entities{output}")
    found = tagger.tag([SENTENCE, "the film", SENTENCE], [None, None, image])
    assert read_answers(tmp_path / f"entities{output}") == renumbered(found, [0, 1, 3])
    assert done.answers == sum(map(len, found)) > 0
    reasons = bad_rows(tmp_path / f"entities{output}")
    assert [row for row, _ in reasons] == [2, 4]
    assert reasons[0][1] == "sentence is null"


def test_half_a_character_is_a_bad_row_of_every_task(
    linker: Linker, extractor: Extractor, tagger: Tagger, tmp_path: Path
) -> None:
    texts = [SENTENCE, "actor \ud800 song germany"]
    rows = {"mention": texts, "sentence": texts, "head": ["actor"] * 2, "tail": ["germany"] * 2}
    file = write_queries(tmp_path / "queries.jsonl", rows)
    for number, answer in enumerate(
        (
            lambda out: link_file(linker, file, out),
            lambda out: extract_file(extractor, file, out),
            lambda out: tag_file(tagger, file, out),
        )
    ):
        answer(tmp_path / f"{number}.csv")
        ((row, _),) = bad_rows(tmp_path / f"{number}.csv")
        assert row == 1


@pytest.mark.parametrize("wrong", [set(), {0}, {9}, {3, 4}, set(range(10)), {0, 2, 4, 6, 8}])
def test_what_is_wrong_is_found_and_all_else_is_answered_once(wrong: set[int]) -> None:
    answered: list[int] = []

    def ask(queries: list[int]) -> list[Any]:
        if found := wrong & set(queries):
            raise QueryError(f"mention {queries.index(min(found))} of {len(queries)}: wrong")
        answered.extend(queries)
        return [f"answer {query}" for query in queries]

    found, refused = ask_each(ask, list(range(10)))
    assert found == {query: f"answer {query}" for query in range(10) if query not in wrong}
    assert refused == dict.fromkeys(sorted(wrong), "wrong")
    assert answered == sorted(set(range(10)) - wrong)
