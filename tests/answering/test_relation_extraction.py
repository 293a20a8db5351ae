"""The Extractor on what people ask: words and texts, odd questions, pictures."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mmkg_sdk
from mmkg_sdk import QueryError, RelationMention
from mmkg_sdk.answering.relation_extraction import Extractor, show_relations
from mmkg_sdk.data.sentences import RelationData, SentenceImages
from mmkg_sdk.evaluation.relation_extraction import evaluate_bundle as evaluate_relations
from mmkg_sdk.evaluation.subjects import evaluate_path
from mmkg_sdk.families.mkgformer.model import build
from mmkg_sdk.families.mkgformer.sentences.scoring import relation_scores
from mmkg_sdk.run import Run
from tests.attacks.reseal import change_manifest
from tests.families.mkgformer.sentence_bundles import toy_data


def test_from_words_to_relations_run_and_bundle_agree(extractor: Extractor, toys: Callable[[str], Path]) -> None:
    folder = toys("mre")
    data = toy_data("mre", folder / "data")
    assert isinstance(data, RelationData)
    run = Run.open(folder / "run")
    model = build(run.config, run.inputs)
    model.load_state_dict(run.weights())
    scores = relation_scores(model, run, "test", len(data.test))
    mentions = [RelationMention(one.words, one.head, one.tail) for one in data.test]
    np.testing.assert_allclose(extractor.score_relations(mentions), scores, rtol=1e-4, atol=1e-5)
    answers = extractor.extract_relations(mentions)
    assert [one.label for one in answers] == [data.relations[int(row)] for row in scores.argmax(axis=1)]
    for answer, mention in zip(answers, data.test, strict=True):
        assert answer.head == " ".join(mention.words[slice(*mention.head)])
        assert sum(score for _, score in answer.ranked()) == pytest.approx(1)
        assert answer.ranked()[0] == (answer.label, answer.score)
        said = [(data.relations[one["id"]], one["score"]) for one in answer.to_json()["answers"]]
        assert said == answer.ranked()
    found = evaluate_relations(extractor, "test", str(folder / "data"))
    assert found.to_json() == evaluate_path(folder / "run", "test", device="cpu").to_json()
    assert show_relations(extractor, data, 3).count("<- ") == 3


def test_a_text_and_its_words_are_one_question(extractor: Extractor) -> None:
    words = ["the", "actor", "wrote", "a", "song", ",", "the", "film", "from", "germany", "."]
    text = "the actor wrote a song, the film from germany."
    expected_scores = extractor.score_relations(RelationMention(words, (1, 2), (9, 10)))
    for mention in [
        RelationMention(words, "actor", "germany"),
        RelationMention(text, "actor", "germany"),
        RelationMention(text, (4, 9), (text.index("germany"), len(text) - 1)),
        RelationMention(text, (3, 10), " germany "),
        RelationMention(tuple(words), [1, 2], "germany"),
    ]:
        np.testing.assert_array_equal(extractor.score_relations(mention), expected_scores)
    assert repr(extractor.extract_relations(RelationMention(text, "actor", "germany"))[0]).startswith("(actor, ")


HOSTILE: list[tuple[Any, str]] = [
    (RelationMention("", "a", "b"), "head 'a' stands 0 times"),
    (RelationMention([], (0, 1), (0, 1)), r"head is \(0, 1\) in a sentence of 0 words"),
    (RelationMention("the film", "film", ""), "tail is ''; expected words"),
    (RelationMention("the film", "film", "song"), "tail 'song' stands 0 times in the sentence 'the film'"),
    (RelationMention("the film the", "the", "film"), r"head 'the' stands 2 times .*Pass its place \(start, end\)"),
    (RelationMention(["the", "the"], "the", (0, 1)), "stands 2 times among the 2 words"),
    (RelationMention("the film", (0, 99), "film"), "in a sentence of 8 characters; expected 0 <= start < end <= 8"),
    (RelationMention("the film", (True, 3), "film"), "expected words of the sentence, or"),
    (RelationMention("the film", 3, "film"), "head is 3; expected words"),  # type: ignore[arg-type]
    (RelationMention("the  film", (3, 5), "film"), "blanks only"),
    (RelationMention(None, "a", "b"), "sentence is None; expected a text"),  # type: ignore[arg-type]
    (RelationMention(["a", 3], "a", "b"), r"sentence is \['a', 3\]"),  # type: ignore[list-item]
    (RelationMention("a \ud800 film", "a", "film"), "half of a surrogate pair"),
    (
        RelationMention("film " * 10_000 + "song", "song", (0, 4)),
        "its head begins behind the first .* Shorten the sentence",
    ),
    (RelationMention("a film", "a", "film", b"x.png"), "images are b'x.png'; expected a path"),  # type: ignore[arg-type]
    (RelationMention("a film", "a", "film", Path("/none.png")), "/none.png cannot be read: .* Pass another image"),
    (RelationMention("a film", "a", "film", SentenceImages(aux=(Path("a\0b"),))), "cannot be read"),
    ("a film", "mention 0 of 6 is 'a'"),
    (None, "mentions is NoneType; expected a RelationMention"),
]


@pytest.mark.parametrize(("mentions", "message"), HOSTILE)
def test_a_question_that_makes_no_sense_is_told_so(mentions: Any, message: str, extractor: Extractor) -> None:
    with pytest.raises(QueryError, match=message):
        extractor.extract_relations(mentions)


def test_odd_but_sound_questions_are_answered(extractor: Extractor) -> None:
    assert len(extractor.extract_relations([])) == 0
    mentions = [
        RelationMention("😀 und 🇳🇴", "😀", "🇳🇴"),
        RelationMention("ירושלים היא בירה", "ירושלים", "בירה"),
        RelationMention("東京は日本の首都", "東京", "日本"),
        RelationMention("a film", (0, 6), (0, 6)),
        RelationMention("film \0 song \u200b", "film", "song"),
        RelationMention("the film [SEP] [MASK] </s> song " + "film " * 9_000, "the", "song"),
        RelationMention("overlap here now", (0, 12), (8, 16)),
    ]
    found = extractor.extract_relations(mentions)
    assert all(0 < one.score <= 1 for one in found)
    assert found[2].head == "東京"
    assert [row for row, one in enumerate(found) if one.cut] == [5]
    assert "the end of the sentence was not read" in repr(found[5])
    assert found[5].to_json()["cut"]


def test_a_sentence_that_just_fits_is_read_to_the_end(extractor: Extractor) -> None:
    mentions = [RelationMention("the song " + "film " * count, "the", "song") for count in range(30)]
    pieces = [2 + 4 + 2 + count for count in range(30)]  # around it, markers, "the song", films
    found = extractor.extract_relations(mentions)
    assert [one.cut for one in found] == [count > extractor.max_length for count in pieces]


def test_many_mentions_are_answered_as_each_alone(extractor: Extractor) -> None:
    mentions = [RelationMention(f"the film {'very ' * (row % 5)} song", "film", "song") for row in range(150)]
    together = extractor.score_relations(mentions)
    alone = np.concatenate([extractor.score_relations(mention) for mention in mentions[:5]])
    np.testing.assert_allclose(together[:5], alone, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(together[5:10], alone, rtol=1e-4, atol=1e-5)


def test_pictures_change_the_answer_and_are_encoded_once(
    toys: Callable[[str], Path], picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mmkg_sdk.load(toys("mre") / "bundle", device="cpu") as extractor:
        calls: list[str] = []
        run = extractor.backend.run
        monkeypatch.setattr(extractor.backend, "run", lambda graph, inputs: calls.append(graph) or run(graph, inputs))

        def scores(images: Any) -> np.ndarray:
            return extractor.score_relations([RelationMention("a film here", "a", "film", images)] * 2)

        none, whole = scores(None), scores(picture)
        crops = scores(SentenceImages(aux=(picture,), rcnn=(picture,)))
        assert calls.count("image_encoder") == 2
        for text in (str(picture), SentenceImages(str(picture)), SentenceImages(aux=[str(picture)], rcnn=(picture,))):
            np.testing.assert_array_equal(scores(text), whole)
        scores(None), scores(picture)
        assert calls.count("image_encoder") == 2
        np.testing.assert_array_equal(whole, crops)
        assert np.abs(none - whole).max() > 1e-6
        assert np.abs(scores(SentenceImages(aux=(picture,))) - whole).max() > 1e-6
        picture.write_bytes(b"something else")
        with pytest.raises(QueryError, match=r"mention 0 of 2: .*picture.png cannot be read"):
            scores(picture)
        with pytest.warns(UserWarning, match="picture.png is read as zeros"):
            lenient = extractor.score_relations(RelationMention("a film here", "a", "film", picture), unreadable="none")
        np.testing.assert_allclose(lenient, none[:1], rtol=1e-5, atol=1e-6)


def test_a_whole_picture_is_refused_by_a_model_that_would_ignore_it(
    toys: Callable[[str], Path], picture: Path, tmp_path: Path
) -> None:
    shutil.copytree(toys("mner") / "bundle", tmp_path / "bundle")
    change_manifest(tmp_path / "bundle", lambda manifest: manifest["config"].update(whole_as_crop=False))
    with mmkg_sdk.load(tmp_path / "bundle", device="cpu") as tagger:
        with pytest.raises(QueryError, match=r"does not look at whole images .* Pass SentenceImages"):
            tagger.tag("a film", [picture])
        assert tagger.tag("a film", [SentenceImages(picture, (picture,))])
