"""Runs and bundles of the sentence tasks on every backend, against the outputs of the authors' code."""

from __future__ import annotations

import json
import pickle
import shutil
import warnings
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mmkg_sdk
from mmkg_sdk import BundleError, DataError, ExportError, QueryError
from mmkg_sdk.answering.entity_recognition import Tagger
from mmkg_sdk.answering.relation_extraction import Extractor
from mmkg_sdk.answering.verification import verify_bundle
from mmkg_sdk.bench.sweep.measure import query_latencies_ms
from mmkg_sdk.bench.sweep.questions import questions
from mmkg_sdk.data.sentences import RelationData, SentenceImages
from mmkg_sdk.errors import BackendError
from mmkg_sdk.evaluation.relation_extraction import evaluate_bundle as evaluate_relations
from mmkg_sdk.evaluation.subjects import evaluate_path
from mmkg_sdk.export import export_bundle, import_checkpoint
from mmkg_sdk.families.mkgformer.config import NO_TOKENIZER
from mmkg_sdk.families.mkgformer.inputs import check_data, config_for, run_data
from mmkg_sdk.families.mkgformer.model import build
from mmkg_sdk.families.mkgformer.sentences.inputs import stored_data
from mmkg_sdk.families.mkgformer.sentences.scoring import relation_scores, tag_scores
from mmkg_sdk.run import Run
from tests.attacks.reseal import change_manifest, reseal
from tests.families.mkgformer.cases import FOLDER, MNER_CASES, MRE_CASES, Case, golden
from tests.families.mkgformer.sentence_bundles import random_run, toy_data

TEXT = ("input_ids", "attention_mask", "token_type_ids")
# Of fp16, as a share of the root mean square.
FP16_LIMIT = 2e-2


@pytest.fixture(scope="module")
def made(golden_bundles: Callable[..., Path]) -> Callable[[str, str], Path]:
    """The folder of a golden case, with "run" and "bundle" in it; made when first asked for. Read-only."""
    return lambda name, precision="fp32": golden_bundles(name, precision, "mkgformer").parent


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
    case = FOLDER / "mner_small"
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
        items = json.loads((FOLDER / "text_prep" / f"{task}_expected.json").read_text())["items"]
        sentences = Run.open(toys(task) / "run").tensors("sentences-train")
        for name in TEXT:
            np.testing.assert_array_equal(sentences[name], [item[name] for item in items])
        labels = [item["label" if task == "mre" else "labels"] for item in items]
        np.testing.assert_array_equal(sentences["labels"], labels)


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
    config = config_for(relations, {"max_length": 24, "tokenizer": str(FOLDER / "text_prep" / "vocab.txt")})
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
    from mmkg_sdk.data.layouts.sentences import write_relations

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
