"""MKGformer, as the quickstart trains it, finds relations in sentences that it never saw."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mmkg_sdk import Extractor, RelationMention
from mmkg_sdk.data.atlas.relations import relations
from mmkg_sdk.data.atlas.sentences import write_relations

from .lessons import shown, taught, words
from .typed import RELATIONS


@pytest.fixture(scope="module")
def extractor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Extractor]:
    folder = tmp_path_factory.mktemp("relations")
    with Extractor.load(taught("mkgformer", "atlas-relations", write_relations, folder)) as opened:
        yield opened


def test_training_has_none_of_the_typed_sentences() -> None:
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
