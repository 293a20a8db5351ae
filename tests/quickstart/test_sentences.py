"""MKGformer, as the quickstart trains it, finds relations and tags names in sentences that it never saw."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mmkg_sdk import Extractor, RelationMention, Tagger
from mmkg_sdk.data.atlas.relations import relations
from mmkg_sdk.data.atlas.tags import tagged
from mmkg_sdk.quickstart import taught

from .lessons import shown, words
from .typed import RELATIONS, TAGS


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The bundles of both tasks, made at once as the quickstart does."""
    folder = tmp_path_factory.mktemp("sentences")
    lessons = taught("mkgformer", {source: folder / source for source in ("atlas-relations", "atlas-tags")}, print)
    assert all(lesson.seconds.keys() == {"train", "export", "answer"} for lesson in lessons)
    return {lesson.source: lesson.folder / "bundle" for lesson in lessons}


@pytest.fixture(scope="module")
def extractor(bundles: dict[str, Path]) -> Iterator[Extractor]:
    with Extractor.load(bundles["atlas-relations"]) as opened:
        yield opened


@pytest.fixture(scope="module")
def tagger(bundles: dict[str, Path]) -> Iterator[Tagger]:
    with Tagger.load(bundles["atlas-tags"]) as opened:
        yield opened


def test_training_has_none_of_the_typed_sentences_with_relations() -> None:
    trained = {one.words for one in relations() if one.split == "train"}
    assert not trained & {words(sentence) for sentence, *_ in RELATIONS}
    assert shown("atlas-relations", "--sentence") in {sentence for sentence, *_ in RELATIONS}


def test_the_sentence_that_is_shown_states_a_capital(extractor: Extractor) -> None:
    sentence, head, tail = (shown("atlas-relations", option) for option in ("--sentence", "--head", "--tail"))
    (found,) = extractor.extract_relations(RelationMention(sentence, head=head, tail=tail))
    assert found.label == "capital"


def test_most_typed_relations_are_found(extractor: Extractor) -> None:
    asked = [RelationMention(sentence, head=head, tail=tail) for sentence, head, tail, _ in RELATIONS]
    wrong = [
        found
        for found, (*_, right) in zip(extractor.extract_relations(asked), RELATIONS, strict=True)
        if found.label != right
    ]
    assert len(wrong) <= 0.15 * len(RELATIONS), wrong


def found(tagger: Tagger, sentence: str) -> list[tuple[str, str]]:
    return [(entity.text, entity.kind) for entity in tagger.tag(sentence)[0]]


def test_training_has_none_of_the_typed_sentences_with_tags() -> None:
    trained = {one.words for one in tagged() if one.split == "train"}
    assert not trained & {words(sentence) for sentence, _ in TAGS}
    assert shown("atlas-tags", "--sentence") in {sentence for sentence, _ in TAGS}


def test_the_sentence_that_is_shown_names_a_country_and_a_language(tagger: Tagger) -> None:
    assert found(tagger, shown("atlas-tags", "--sentence")) == [("Kenya", "LOC"), ("Swahili", "MISC")]


def test_most_typed_sentences_are_tagged_without_a_mistake(tagger: Tagger) -> None:
    wrong = [(sentence, got) for sentence, right in TAGS if (got := found(tagger, sentence)) != right]
    assert len(wrong) <= 0.35 * len(TAGS), wrong
