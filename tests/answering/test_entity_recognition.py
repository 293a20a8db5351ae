"""The Tagger on what people ask: spans, broken tags, long sentences, what is none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmkg_sdk import QueryError
from mmkg_sdk.answering.entity_recognition import Tagger, show_entities
from mmkg_sdk.data.sentences import SentenceImages
from mmkg_sdk.evaluation.entity_recognition import evaluate_bundle as evaluate_tags
from mmkg_sdk.evaluation.subjects import evaluate_path
from mmkg_sdk.families.mkgformer.model import build
from mmkg_sdk.families.mkgformer.sentences.scoring import tag_scores
from mmkg_sdk.run import Run
from tests.families.mkgformer.sentence_bundles import toy_data


def test_from_text_to_entities_run_and_bundle_agree(tagger: Tagger, toys: Callable[[str], Path]) -> None:
    folder = toys("mner")
    data: Any = toy_data("mner", folder / "data")
    run = Run.open(folder / "run")
    model = build(run.config, run.inputs)
    model.load_state_dict(run.weights())
    _, tags = tagger.tag_words([one.words for one in data.test])
    np.testing.assert_array_equal(tags, tag_scores(model, run, "test", len(data.test)))
    found = evaluate_tags(tagger, "test", str(folder / "data"))
    assert found.to_json() == evaluate_path(folder / "run", "test", device="cpu").to_json()
    assert show_entities(tagger, data, 3)


def test_entities_are_spans_of_words_and_characters(tagger: Tagger) -> None:
    text = "  The film, from Germany: a song (😀)!\nof "
    (found,) = tagger.tag(text)
    assert (found.sentence, found.words[:4], found.words_read) == (text, ("The", "film", ",", "from"), len(found.words))
    for entity in found:
        assert text[slice(*entity.characters)] == entity.text
        assert found.words[entity.words[0]] == entity.text.split()[0].strip("(:,") or entity.words[1] > entity.words[0]
    (of_words,) = tagger.tag([list(found.words)])
    assert of_words.sentence == " ".join(found.words)
    assert [(entity.kind, entity.words) for entity in of_words] == [(entity.kind, entity.words) for entity in found]
    assert all(of_words.sentence[slice(*entity.characters)] == entity.text for entity in of_words)


def with_tags(tagger: Tagger, monkeypatch: pytest.MonkeyPatch, *tags: str) -> None:
    """From now on the graph finds these tags behind [CLS], and O then."""

    def run(graph: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if graph == "image_encoder":
            return original(graph, inputs)
        rows, length = inputs["input_ids"].shape
        found = np.full((rows, length), tagger.tags.find("O"))
        found[:, 1 : len(tags) + 1] = [tagger.tags.find(tag) for tag in tags]
        found[inputs["attention_mask"] == 0] = -1
        return {"tags": found, "emissions": np.zeros((rows, length, len(tagger.tags)), np.float32)}

    original = tagger.backend.run
    monkeypatch.setattr(tagger.backend, "run", run)


# Each word of the sentence is one piece of the toy vocabulary.
@pytest.mark.parametrize(
    ("tags", "expected_entities"),
    [
        (["B-PER", "I-PER", "O", "B-LOC"], [("PER", "the film"), ("LOC", "song")]),
        (["I-PER", "I-PER", "I-LOC", "O"], [("PER", "the film"), ("LOC", "a")]),
        (["B-PER", "B-PER", "I-ORG", "B-ORG"], [("PER", "the"), ("PER", "film"), ("ORG", "a"), ("ORG", "song")]),
        (["X", "[CLS]", "[SEP]", "PAD"], []),
        (["B-PER", "X", "I-PER", "PAD"], [("PER", "the"), ("PER", "a")]),
    ],
)
def test_broken_sequences_of_tags_have_an_answer(
    tags: list[str], expected_entities: list[tuple[str, str]], tagger: Tagger, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_tags(tagger, monkeypatch, *tags)
    (found,) = tagger.tag("the film a song")
    assert [(entity.kind, entity.text) for entity in found] == expected_entities


def test_words_without_a_piece_are_passed_over(tagger: Tagger, monkeypatch: pytest.MonkeyPatch) -> None:
    with_tags(tagger, monkeypatch, "B-PER", "I-PER", "O")
    (found,) = tagger.tag([["the", "\u200b", "film", "\0", "song"]])
    assert [(entity.text, entity.words) for entity in found] == [("the \u200b film", (0, 3))]


def test_a_long_sentence_is_cut_and_says_so(tagger: Tagger) -> None:
    (found,) = tagger.tag("film " * 10_000)
    assert (len(found.words), found.words_read) == (10_000, 16)
    assert "only the first 16 of 10,000 words were read" in repr(found)
    (fits,) = tagger.tag("film " * 16)
    assert fits.words_read == len(fits.words) == 16
    (words,) = tagger.tag([["film"] * 17])
    assert words.words_read == 16
    assert found.to_json()["words_read"] == 16


def test_nothing_to_tag_is_answered_with_nothing(tagger: Tagger) -> None:
    assert len(tagger.tag([])) == 0
    for empty in ("", " \n\t", "\0", []):
        (found,) = tagger.tag([empty])
        assert list(found) == []
        assert found[:] == ()
    assert [len(found.words) for found in tagger.tag(["😀 אבג ", "東京", "[SEP] [CLS]", "e\u0301 \U0010ffff"])]


@pytest.mark.parametrize(
    ("sentences", "images", "message"),
    [
        (None, None, "sentences is NoneType"),
        (3, None, "sentences is int"),
        ([None], None, "sentence 0 of 1 is None"),
        ([["a", 3]], None, r"sentence 0 of 1 is \['a', 3\]"),
        ([[["a"]]], None, "expected a text or a list of words"),
        (["a\ud800b"], None, "half of a surrogate pair"),
        ("a film", [], "one for each of the 1 sentences"),
        ("a film", Path("x.png"), "one for each of the 1 sentences"),
        ("a film", "x.png", "one for each of the 1 sentences"),
        ("a film", [SentenceImages(aux="x")], "expected a path"),
        ("a film", [SentenceImages(rcnn=None)], "expected a path"),
    ],
)
def test_what_is_no_sentence_is_told_so(sentences: Any, images: Any, message: str, tagger: Tagger) -> None:
    with pytest.raises(QueryError, match=message):
        tagger.tag(sentences, images)
