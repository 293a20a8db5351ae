"""MKGformer, as the quickstart trains it, tags names in sentences that it never saw, most of them new names."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mmkg_sdk import Tagger
from mmkg_sdk.data.atlas.sentences import write_tags
from mmkg_sdk.data.atlas.tags import tagged

from .lessons import shown, taught, words
from .typed import TAGS


@pytest.fixture(scope="module")
def tagger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tagger]:
    folder = tmp_path_factory.mktemp("tags")
    with Tagger.load(taught("mkgformer", "atlas-tags", write_tags, folder)) as opened:
        yield opened


def found(tagger: Tagger, sentence: str) -> list[tuple[str, str]]:
    return [(entity.text, entity.kind) for entity in tagger.tag(sentence)[0]]


def test_training_has_none_of_the_typed_sentences() -> None:
    trained = {one.words for one in tagged() if one.split == "train"}
    assert not trained & {words(sentence) for sentence, _ in TAGS}
    assert shown("atlas-tags", "--sentence") in {sentence for sentence, _ in TAGS}


def test_the_sentence_that_is_shown_names_a_country_and_a_language(tagger: Tagger) -> None:
    assert found(tagger, shown("atlas-tags", "--sentence")) == [("Kenya", "LOC"), ("Swahili", "MISC")]


def test_most_typed_sentences_are_tagged_without_a_mistake(tagger: Tagger) -> None:
    wrong = [(sentence, got) for sentence, right in TAGS if (got := found(tagger, sentence)) != right]
    assert len(wrong) <= 0.35 * len(TAGS), wrong
