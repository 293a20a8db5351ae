"""MIMIC, as the quickstart trains it but in half of the epochs, links names in sentences that it never saw."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mmkg_sdk import Linker, Mention
from mmkg_sdk.data.atlas.mentions import mentions
from mmkg_sdk.quickstart import taught

from .lessons import shown
from .typed import MENTIONS


@pytest.fixture(scope="module")
def linker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Linker]:
    (lesson,) = taught("mimic", {"atlas-mentions": tmp_path_factory.mktemp("linking")}, print, epochs=7)
    with Linker.load(lesson.folder / "bundle") as opened:
        yield opened


def test_training_has_none_of_the_typed_sentences() -> None:
    trained = {one.sentence for one in mentions() if one.split == "train"}
    assert not trained & {sentence for _, sentence, _ in MENTIONS}
    assert shown("atlas-mentions", "--sentence") in {sentence for _, sentence, _ in MENTIONS}


def test_the_sentence_that_is_shown_means_the_country(linker: Linker) -> None:
    mention = Mention(shown("atlas-mentions", "--mention"), shown("atlas-mentions", "--sentence"))
    assert linker.link_mentions(mention, k=1)[0].labels == ("Georgia",)


def test_most_typed_mentions_mean_what_they_should(linker: Linker) -> None:
    found = linker.link_mentions([Mention(text, sentence) for text, sentence, _ in MENTIONS], k=1)
    wrong = [
        (sentence, ranking.labels[0])
        for ranking, (_, sentence, right) in zip(found, MENTIONS, strict=True)
        if ranking.labels[0] != right
    ]
    assert len(wrong) <= 0.25 * len(MENTIONS), wrong
