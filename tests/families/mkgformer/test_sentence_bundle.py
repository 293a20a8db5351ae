"""Runs and bundles of the sentence tasks on every backend, against the outputs of the authors' code."""

from __future__ import annotations

import json
import pickle
import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mmkg_sdk
from mmkg_sdk import BundleError, DataError, ExportError, QueryError, RelationMention
from mmkg_sdk.bench.measure import query_latencies_ms
from mmkg_sdk.bench.questions import questions
from mmkg_sdk.data.sentences import RelationData, SentenceImages
from mmkg_sdk.errors import BackendError
from mmkg_sdk.evaluation.entity_recognition import evaluate_bundle as evaluate_tags
from mmkg_sdk.evaluation.relation_extraction import evaluate_bundle as evaluate_relations
from mmkg_sdk.evaluation.subjects import evaluate_path
from mmkg_sdk.export import export_bundle, import_checkpoint
from mmkg_sdk.extractor import Extractor, show_relations
from mmkg_sdk.families.mkgformer.config import NO_TOKENIZER
from mmkg_sdk.families.mkgformer.inputs import check_data, config_for, run_data
from mmkg_sdk.families.mkgformer.model import build
from mmkg_sdk.families.mkgformer.sentence_inputs import stored_data
from mmkg_sdk.families.mkgformer.sentence_scoring import relation_scores, tag_scores
from mmkg_sdk.run import Run
from mmkg_sdk.tagger import Tagger, show_entities
from mmkg_sdk.verification import verify_bundle
from tests.attacks.reseal import change_manifest, reseal
from tests.families.mkgformer.cases import GOLDEN, MNER_CASES, MRE_CASES, Case, golden
from tests.families.mkgformer.sentence_bundles import import_case, random_run, toy_data

TEXT = ("input_ids", "attention_mask", "token_type_ids")
# Of fp16, as a share of the root mean square.
FP16_LIMIT = 2e-2


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """The folder of a golden case, with "run" and "bundle" in it; made when first asked for. Read-only."""
    folders: dict[tuple[str, str], Path] = {}

    def folder(name: str, precision: str = "fp32") -> Path:
        if (name, precision) not in folders:
            place = tmp_path_factory.mktemp(name)
            export_bundle(import_case(name, place / "run"), place / "bundle", precision=precision)
            folders[name, precision] = place
        return folders[name, precision]

    return folder


@pytest.fixture(scope="module")
def extractor(toys: Callable[[str], Path]) -> Iterator[Extractor]:
    with mmkg_sdk.load(toys("mre") / "bundle", device="cpu") as opened:
        yield opened


@pytest.fixture(scope="module")
def tagger(toys: Callable[[str], Path]) -> Iterator[Tagger]:
    with mmkg_sdk.load(toys("mner") / "bundle", device="cpu") as opened:
        yield opened


def outputs(opened: Extractor | Tagger, case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Labels or tags, and the numbers that they were decided by."""
    state = opened.encode_images(case.inputs["aux_values"], case.inputs["rcnn_values"])
    texts = [case.inputs[name] for name in TEXT]
    if isinstance(opened, Tagger):
        return opened.tag_tokens(*texts, state)
    scores = opened.score_tokens(*texts, state)
    return scores.argmax(axis=1), scores


def expected(case: Case) -> tuple[np.ndarray, np.ndarray]:
    names = ("decoded_tags", "emissions") if "emissions" in case.outputs else ("predictions", "logits")
    return case.outputs[names[0]], case.outputs[names[1]]


@pytest.mark.parametrize("backend", ["onnxruntime", "torch"])
@pytest.mark.parametrize("name", MRE_CASES + MNER_CASES)
def test_a_bundle_answers_as_the_authors_code_does(name: str, backend: str, made: Callable[..., Path]) -> None:
    case = golden(name)
    with mmkg_sdk.load(made(name) / "bundle", backend, "cpu") as opened:
        found, numbers = outputs(opened, case)
        assert isinstance(opened, Tagger if name in MNER_CASES else Extractor)
    np.testing.assert_array_equal(found, expected(case)[0])
    np.testing.assert_allclose(numbers, expected(case)[1], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name", ["mre_small", "mner_small"])
def test_half_precision_comes_near(name: str, made: Callable[..., Path]) -> None:
    case = golden(name)
    with mmkg_sdk.load(made(name, "fp16") / "bundle", "onnxruntime", "cpu") as opened:
        _, numbers = outputs(opened, case)
    exact = expected(case)[1]
    assert np.abs(numbers - exact).max() <= FP16_LIMIT * np.sqrt(np.mean(exact**2))


@pytest.mark.parametrize("name", MRE_CASES + MNER_CASES)
def test_an_imported_run_answers_as_the_authors_code_does(name: str, made: Callable[..., Path]) -> None:
    case, run = golden(name), Run.open(made(name) / "run")
    model = build(run.config, run.inputs)
    model.load_state_dict(run.weights())
    count = len(case.inputs["labels"])
    if name in MRE_CASES:
        found: Any = relation_scores(model, run, "test", count).argmax(axis=1)
        report: Any = evaluate_path(run.folder, "test", device="cpu")
        assert report.metrics()["accuracy"] == (case.outputs["predictions"] == case.inputs["labels"]).mean()
    else:
        found = tag_scores(model, run, "test", count)
        assert evaluate_path(run.folder, "test", device="cpu").to_json()["sentences"] == count
    np.testing.assert_array_equal(found, expected(case)[0])


@pytest.mark.parametrize("name", ["mre_small", "mner_small"])
def test_a_bundle_verifies_itself_and_tells_what_it_is(name: str, made: Callable[..., Path]) -> None:
    assert verify_bundle(made(name) / "bundle", device="cpu")["passed"]
    card = (made(name) / "bundle" / "MODEL_CARD.md").read_text()
    assert ("Answers which of 9 relations" in card) == (name == "mre_small")


def test_another_length_than_the_stored_one_is_refused(tmp_path: Path) -> None:
    case = GOLDEN / "mner_small"
    with pytest.raises(ExportError, match=r"has 12 positions, .* max_length 16.*pass --set max_length=12"):
        import_checkpoint(
            "mkgformer",
            case / "checkpoint.pt",
            tmp_path,
            inputs=case / "inputs.npz",
            config=case / "config.json",
        )


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("labels", lambda a: a + 9, "labels of the test split goes from .* expected 0 to 8"),
        ("input_ids", lambda a: a * 0, "not exactly one <s>"),
        ("attention_mask", lambda a: 1 - a, "is not a row of 1 with 0 behind it"),
        ("token_type_ids", lambda a: a - 1, "token_type_ids of the test split goes from -1"),
        ("aux_values", lambda a: a[:, :1], r"aux_values is float32 .*expected floats of shape \['n', 12"),
        ("rcnn_values", lambda a: a * np.nan, "rcnn_values holds NaN"),
        ("labels", lambda a: None, "has no array 'labels'"),
    ],
)
def test_stored_arrays_that_do_not_fit_are_refused(name: str, change: Any, message: str, tmp_path: Path) -> None:
    case = golden("mre_small")
    config = case.model(tokenizer=NO_TOKENIZER).config
    fields = {key: array for key, array in case.inputs.items() if key != name}
    changed = change(case.inputs[name])
    fields |= {} if changed is None else {name: changed}
    with pytest.raises(ExportError, match=message):
        check_data(stored_data(fields, tmp_path / "inputs.npz", config), config)


def test_texts_become_the_tokens_of_the_authors_pipeline(toys: Callable[[str], Path]) -> None:
    for task in ("mre", "mner"):
        items = json.loads((GOLDEN / "text_prep" / f"{task}_expected.json").read_text())["items"]
        sentences = Run.open(toys(task) / "run").tensors("sentences-train")
        for name in TEXT:
            np.testing.assert_array_equal(sentences[name], [item[name] for item in items])
        labels = [item["label" if task == "mre" else "labels"] for item in items]
        np.testing.assert_array_equal(sentences["labels"], labels)


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
        assert set(answer.to_json()["relations"]) == set(data.relations)
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
    (RelationMention("film " * 10_000 + "song", "song", (0, 4)), "marker <s> 0 times .* Shorten the sentence"),
    (RelationMention("a <s> film", "a", "film"), "marker <s> 2 times"),
    (RelationMention("a film", "a", "film", "x.png"), "pictures are 'x.png'; expected a Path"),  # type: ignore[arg-type]
    (RelationMention("a film", "a", "film", Path("/none.png")), "/none.png cannot be read: .* Pass another picture"),
    (RelationMention("a film", "a", "film", SentenceImages(aux=(Path("a\0b"),))), "cannot be read"),
    ("a film", "mention 0 of 6 is 'a'"),
    (None, "mentions is NoneType; expected a RelationMention"),
]


@pytest.mark.parametrize(("mentions", "message"), HOSTILE)
def test_a_question_that_makes_no_sense_is_told_so(mentions: Any, message: str, extractor: Extractor) -> None:
    with pytest.raises(QueryError, match=message):
        extractor.extract_relations(mentions)


def test_odd_but_sound_questions_are_answered(extractor: Extractor) -> None:
    assert extractor.extract_relations([]) == []
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


def test_many_mentions_are_answered_as_each_alone(extractor: Extractor) -> None:
    mentions = [RelationMention(f"the film {'very ' * (row % 5)} song", "film", "song") for row in range(150)]
    together = extractor.score_relations(mentions)
    alone = np.concatenate([extractor.score_relations(mention) for mention in mentions[:5]])
    np.testing.assert_allclose(together[:5], alone, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(together[5:10], alone, rtol=1e-4, atol=1e-5)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    from PIL import Image

    noise = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "picture.png")
    return tmp_path / "picture.png"


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
        with pytest.raises(QueryError, match=r"does not look at whole pictures .* Pass SentenceImages"):
            tagger.tag("a film", [picture])
        assert tagger.tag("a film", [SentenceImages(picture, (picture,))])


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
    assert tagger.tag([]) == []
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
        ("a film", ["x.png"], "pictures are 'x.png'"),
        ("a film", [SentenceImages(aux=("x",))], "expected a Path"),
        ("a film", [SentenceImages(rcnn=None)], "expected a Path"),
    ],
)
def test_what_is_no_sentence_is_told_so(sentences: Any, images: Any, message: str, tagger: Tagger) -> None:
    with pytest.raises(QueryError, match=message):
        tagger.tag(sentences, images)


def test_wrong_arrays_are_told_so(extractor: Extractor) -> None:
    texts = extractor._runtime.relation_texts(
        extractor.tokenizer, [(["film", "song"], (0, 1), (1, 2))], extractor.bundle.config
    )
    good = {name: getattr(texts, name) for name in TEXT} | {"image_state": extractor._no_images}
    assert extractor.score_tokens(**good).shape == (1, 3)
    for name, wrong, message in [
        ("input_ids", good["input_ids"][:, 1:], r"input_ids is int64 \[1, 23\]; expected int64 \['n', 24\]"),
        ("input_ids", good["input_ids"] + 100, "input_ids goes from"),
        ("input_ids", good["input_ids"] * 0, "marker <s> 0 times"),
        ("attention_mask", good["attention_mask"].repeat(2, 0), r"expected int64 \[1, 24\]"),
        ("attention_mask", good["attention_mask"] * 0, "has a row that is not 1"),
        ("token_type_ids", good["token_type_ids"].astype(float), "token_type_ids is float64"),
        ("image_state", good["image_state"][:, 1:], "image_state is float32"),
    ]:
        with pytest.raises(QueryError, match=message):
            extractor.score_tokens(**(good | {name: wrong}))
    with pytest.raises(QueryError, match="aux_values is float64"):
        extractor.encode_images(np.full((1, 3, 3, 32, 32), np.nan), np.zeros((1, 3, 3, 16, 16)))
    with pytest.raises(QueryError, match="unreadable is 'maybe'"):
        extractor.score_relations([], unreadable="maybe")


def test_an_opened_bundle_is_closed_copied_and_named(toys: Callable[[str], Path]) -> None:
    for task, kind in (("mre", "Extractor"), ("mner", "Tagger")):
        with mmkg_sdk.load(toys(task) / "bundle", "onnxruntime", "cpu", threads=1) as opened:
            assert repr(opened).startswith(f"{kind}(mkgformer fp32: ")
            twin = pickle.loads(pickle.dumps(opened))
            assert repr(twin) == repr(opened)
            twin.close()
        with pytest.raises(BackendError, match="closed"):
            opened.encode_images(np.zeros((1, 3, 3, 32, 32)), np.zeros((1, 3, 3, 16, 16)))


def test_a_bundle_of_token_ids_asks_for_a_tokenizer(made: Callable[..., Path]) -> None:
    with mmkg_sdk.load(made("mner_small") / "bundle", device="cpu") as tagger:
        assert list(tagger.tags)[:2] == ["PAD", "O"]
        with pytest.raises(QueryError, match="was made of token ids and has no tokenizer"):
            tagger.tag("a film")
    with pytest.raises(DataError, match="holds no sentences; name the data set with --data"):
        evaluate_path(made("mner_small") / "bundle", "test", device="cpu")


def _tokenizer(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        content = json.loads((folder / "tokenizer.json").read_text())
        change(content)
        (folder / "tokenizer.json").write_text(json.dumps(content))

    return spoil


ATTACKS: list[tuple[str, Callable[[Path], Any], str]] = [
    ("no file", lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer.json is missing"),
    ("empty file", lambda folder: (folder / "tokenizer.json").write_bytes(b""), "tokenizer.json.*not valid JSON"),
    ("deep", lambda folder: (folder / "tokenizer.json").write_bytes(b"[" * 99_999), "tokenizer.json"),
    (
        "evil pattern",
        _tokenizer(lambda c: c.update(pre_tokenizer={"type": "Split", "pattern": {"Regex": "(a+)+$"}})),
        "pre_tokenizer has the Regex",
    ),
    (
        "another word",
        _tokenizer(lambda c: c["model"]["vocab"].update(more=100)),
        "the ids of its 101 tokens are not 0 to 100",
    ),
    ("one id twice", _tokenizer(lambda c: c["model"]["vocab"].update(film=3)), "tokenizer.json"),
    (
        "markers swapped",
        _tokenizer(lambda c: c.update(added_tokens=c["added_tokens"][:5] + c["added_tokens"][:4:-1])),
        "its markers are not the last of them",
    ),
    (
        "no markers",
        _tokenizer(lambda c: c.update(added_tokens=c["added_tokens"][:5])),
        "has no token|tokens, the model",
    ),
    ("labels are too few", lambda folder: (folder / "relations.txt").write_text("a\nb\n"), "has 2 labels"),
    ("a label stands twice", lambda folder: (folder / "relations.txt").write_text("a\nb\na\n"), "stands in line 1"),
    (
        "another task",
        lambda folder: change_manifest(folder, lambda m: m["config"].update(task="entity-recognition")),
        "relations.txt|tags.txt|not part of the format",
    ),
    (
        "no task",
        lambda folder: change_manifest(folder, lambda m: m["config"].pop("task")),
        "incomplete MKGformer configuration",
    ),
    (
        "more labels",
        lambda folder: change_manifest(folder, lambda m: m["config"].update(num_labels=4)),
        "relations.txt has 3 labels",
    ),
    (
        "other words",
        lambda folder: change_manifest(folder, lambda m: m["config"].update(base_vocabulary_size=95)),
        "has 100 tokens, the model 99",
    ),
    (
        "an extra graph",
        lambda folder: change_manifest(
            folder, lambda m: m["graphs"].update(query_encoder=m["graphs"]["image_encoder"])
        ),
        "do not match",
    ),
]


@pytest.mark.parametrize(("spoil", "message"), [attack[1:] for attack in ATTACKS], ids=[name for name, *_ in ATTACKS])
def test_a_hostile_bundle_is_refused(
    spoil: Callable[[Path], Any], message: str, toys: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(toys("mre") / "bundle", folder)
    spoil(folder)
    if (folder / "tokenizer.json").exists():
        reseal(folder)
    with pytest.raises(BundleError, match=message):
        mmkg_sdk.load(folder, device="cpu")


def test_a_lying_graph_is_caught_when_it_answers(toys: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    with mmkg_sdk.load(toys("mner") / "bundle", device="cpu") as tagger:
        original = tagger.backend.run
        for change, message in [
            (lambda found: found | {"tags": found["tags"] + 99}, "a tag that there is not"),
            (lambda found: found | {"tags": found["tags"] * 0 - 1}, "a tag that there is not"),
            (lambda found: found | {"tags": found["tags"][:, 1:]}, "gave int64"),
            (lambda found: found | {"emissions": found["emissions"] * np.nan}, "gave NaN or infinity"),
            (lambda found: {"tags": found["tags"]}, "gave nothing as 'emissions'"),
        ]:

            def run(graph: str, inputs: Any, change: Any = change) -> Any:
                found = original(graph, inputs)
                return change(found) if graph == "tag_encoder" else found

            monkeypatch.setattr(tagger.backend, "run", run)
            with pytest.raises(BackendError, match=message):
                tagger.tag("a film")


def test_data_of_another_kind_or_task_are_refused(toys: Callable[[str], Path], tmp_path: Path) -> None:
    relations = toy_data("mre", toys("mre") / "data")
    with pytest.raises(DataError, match="task is 'entity-recognition', but data holds data for relation-extraction"):
        config_for(relations, {"task": "entity-recognition"})
    with pytest.raises(
        DataError, match=r"train split: sentence \d+ of \d+ has the marker .* Or set a larger max_length"
    ):
        random_run(relations, tmp_path / "run", max_length=8)
    config = config_for(relations, {"max_length": 24, "tokenizer": str(GOLDEN / "text_prep" / "vocab.txt")})
    with pytest.raises(DataError, match=r"has 96 word pieces .* the model has 92"):
        run_data(relations, replace(config, base_vocabulary_size=92))
    with mmkg_sdk.load(toys("mre") / "bundle", device="cpu") as extractor:
        with pytest.raises(DataError, match="holds sentences with tags; expected sentences with relations"):
            evaluate_relations(extractor, "test", _folder_of("mner", tmp_path))
        folder = tmp_path / "other"
        data = toy_data("mre", folder)
        assert isinstance(data, RelationData)
        (folder / "rel2id.json").write_text('{"None": 0, "/per/loc": 1, "/per/per": 2, "/new": 3}')
        line = (folder / "test.txt").read_text().splitlines()[0]
        (folder / "test.txt").write_text(line.replace("/per/loc", "/new") + "\n")
        with pytest.raises(DataError, match="relation '/new' is not in"):
            evaluate_relations(extractor, "test", str(folder))


def _folder_of(task: str, place: Path) -> str:
    toy_data(task, place / task)
    return str(place / task)


def test_pictures_of_the_data_reach_run_and_bundle_alike(
    toys: Callable[[str], Path], picture: Path, tmp_path: Path
) -> None:
    from mmkg_sdk.data.sentence_layout import write_relations

    data = toy_data("mre", toys("mre") / "data")
    assert isinstance(data, RelationData)
    shown = [SentenceImages(), SentenceImages(picture), SentenceImages(picture, (picture,), (picture,) * 5)]
    splits = {
        split: tuple(replace(one, images=shown[row % 3]) for row, one in enumerate(data.split(split)))
        for split in ("train", "valid", "test")
    }
    write_relations(replace(data, **splits), tmp_path / "data")
    for whole_as_crop, sets in ((True, 2), (False, 1)):
        folder = tmp_path / f"{whole_as_crop}"
        from mmkg_sdk.data.open import open_data

        written = open_data(tmp_path / "data")
        assert isinstance(written, RelationData)
        run = random_run(written, folder / "run", max_length=24, whole_as_crop=whole_as_crop)
        assert len(run.tensors("images")["aux"]) == sets
        export_bundle(run, folder / "bundle")
        with warnings.catch_warnings(), mmkg_sdk.load(folder / "bundle", device="cpu") as extractor:
            warnings.simplefilter("error")
            found = evaluate_relations(extractor, "test", str(tmp_path / "data"))
            assert found.to_json() == evaluate_path(run.folder, "test", device="cpu").to_json()


@pytest.mark.parametrize("task", ["mre", "mner"])
def test_the_benchmark_asks_of_sentences_that_the_model_reads_whole(toys: Callable[[str], Path], task: str) -> None:
    with mmkg_sdk.load(toys(task) / "bundle", device="cpu", threads=1) as opened:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            answers = [ask() for ask in islice(questions(opened, seed=0), 5)]
        assert all(answer in opened.relations if task == "mre" else isinstance(answer, tuple) for answer in answers)
        assert len(query_latencies_ms(opened, seconds=1e-3, seed=0)) >= 3
