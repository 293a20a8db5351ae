"""bench quality of the sentence tasks: its figures are the evaluation's, and what is changed is what it says."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmkg_sdk.answering.relation_extraction import Extractor
from mmkg_sdk.bench.changes.picture_changes import blurred
from mmkg_sdk.bench.changes.sentence_subjects import RelationSubject
from mmkg_sdk.bench.changes.sentences import AskedSentences
from mmkg_sdk.bench.quality.results import QualityReport, Row
from mmkg_sdk.bench.quality.run import run_quality
from mmkg_sdk.data.layouts.sentences import read_relations, read_tagging
from mmkg_sdk.data.sentences import RelationSentence, SentenceImages
from mmkg_sdk.errors import DataError, QueryError
from mmkg_sdk.evaluation.subjects import evaluate_path
from mmkg_sdk.export import export_bundle
from mmkg_sdk.families.mkgformer.model import build
from tests.families.mkgformer.sentence_bundles import random_run
from tests.once import once

images = pytest.importorskip("PIL.Image", reason="images need pillow")
pytest.importorskip("tokenizers", reason="texts need tokenizers")

QUICK: dict[str, Any] = {"seeds": 2, "seconds": 0.001, "threads": 1, "plot": False}
UNREAD = 7
# Three auxiliary images of 16 patches, and three detector crops of 4, are what the two tasks have positions for.
SIZES: dict[str, Any] = {"max_length": 12, "learned_vocabulary_size": 60}


def sentences(task: str) -> list[dict[str, Any]]:
    """Twelve sentences about four names. The tail of one of those with relations stands behind what is read."""
    names, found = ("ann", "bob", "cat", "dan"), []
    for number in range(12):
        head, tail = names[number % 4], names[(number // 4 + number + 1) % 4]
        words = [head, "likes" if number % 3 else "sees", *(["and"] * 20 if number == UNREAD else []), tail, "today"]
        if task == "relations":
            spans = {"head": [0, 1], "tail": [len(words) - 2, len(words) - 1]}
            found.append({"words": words, **spans, "relation": ("none", "likes", "sees")[number % 3]})
        else:
            tags = ["B-PER", *["O"] * (len(words) - 3), "B-PER" if number % 2 else "B-LOC", "O"]
            found.append({"words": words, "tags": tags})
    return found


def write_data(folder: Path, task: str) -> None:
    """Pictures of noise: none of every fourth sentence, and else one to three of each group."""
    folder.mkdir()
    (folder / "other").mkdir()
    noise, lines = np.random.default_rng(5), []
    for number, one in enumerate(sentences(task)):
        for group in ("aux", "rcnn"):
            one[group] = [f"{group}-{number}-{place}.png" for place in range(number % 4)]
            for name in one[group]:
                images.fromarray(noise.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(folder / name)
        lines.append(json.dumps(one))
    for split in ("train", "valid", "test"):
        (folder / f"{task}-{split}.jsonl").write_text("\n".join(lines) + "\n")
    if task == "relations":
        (folder / "relations.txt").write_text("none\nlikes\nsees\n")
    for path in folder.glob("*-[135]-0.png"):
        images.new("RGB", (16, 16), (200, 30, 30)).save(folder / "other" / path.name)


def write_bundle(folder: Path, task: str) -> None:
    """A model of random weights, by seeds whose answers images change; those of most do not."""
    data = (read_relations if task == "relations" else read_tagging)(folder / "data")
    run = random_run(data, folder / "run", **SIZES)
    model = build(run.config, run.inputs)
    if task == "tags":
        model.load_state_dict(run.weights())
    seed, size = {"relations": (0, 2.0), "tags": (1, 0.5)}[task]
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(size * torch.randn_like(parameter))
    run.save_weights(model.state_dict())
    export_bundle(run, folder / "bundle")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A model of random weights with three images of each group, by task: "data" and "bundle"."""

    @cache
    def folder(task: str) -> Path:
        def make(out: Path) -> None:
            write_data(out / "data", task)
            write_bundle(out, task)

        return once(tmp_path_factory, f"mkgformer-{task}-quality", make)

    return folder


@pytest.fixture(scope="module")
def reports(folders: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], QualityReport]:
    """Everything that can be measured of each."""

    @cache
    def report(task: str) -> QualityReport:
        folder = folders(task)
        out, data = tmp_path_factory.mktemp("quality"), str(folder / "data")
        return run_quality(folder / "bundle", out, data=data, other_images=folder / "data" / "other", **QUICK)

    return report


def rewritten(data: Path, out: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> str:
    """The data set with other lines, and its images."""
    out.mkdir()
    for path in data.iterdir():
        if path.suffix == ".jsonl":
            lines = [json.dumps(change(json.loads(line))) for line in path.read_text().splitlines()]
            (out / path.name).write_text("\n".join(lines) + "\n")
        elif path.is_file():
            shutil.copy(path, out)
    return str(out)


def without(*groups: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda one: one | {group: [] for group in groups}


def row_of(report: QualityReport, change: str, level: str) -> Row:
    (found,) = [row for row in report.rows if (row.change, row.level) == (change, level)]
    return found


@pytest.mark.parametrize("task", ["relations", "tags"])
def test_rows_are_the_evaluation_of_data_that_were_changed_so(
    task: str, folders: Callable[[str], Path], reports: Callable[[str], QualityReport], tmp_path: Path
) -> None:
    report, bundle, data = reports(task), folders(task) / "bundle", folders(task) / "data"

    def evaluated(name: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, float]:
        return evaluate_path(bundle, "test", data=rewritten(data, tmp_path / name, change)).metrics()

    expected = evaluated("same", lambda one: one)
    assert report.baseline["metrics"] == expected
    assert report.baseline["value"] == pytest.approx(expected[report.metric], abs=1e-12)
    assert expected[report.metric] > 0
    bare = evaluated("bare", without("aux", "rcnn"))
    assert bare != expected
    assert row_of(report, "image dropped", "100 % of the sentences").metrics == bare
    assert row_of(report, "modalities", "text").metrics == bare
    assert row_of(report, "modalities", "text + image").difference == 0
    no_aux, no_rcnn = evaluated("no-aux", without("aux")), evaluated("no-rcnn", without("rcnn"))
    lacking = {"auxiliary images": no_aux, "detector crops": no_rcnn}
    for name, metrics in lacking.items():
        assert row_of(report, f"{name} of a sentence", "0 of 3").metrics == metrics
        assert row_of(report, f"{name} of a sentence", "3 of 3").metrics == expected
    assert row_of(report, "modalities", "text + detector crops").metrics == no_aux
    blurry = rewritten(data, tmp_path / "blurry", lambda one: one)
    for path in Path(blurry).glob("*.png"):
        blurred(images.open(path), 0.08).save(path)
    assert (
        row_of(report, "blur", "8 % of the shorter side").metrics
        == evaluate_path(bundle, "test", data=blurry).metrics()
    )
    red = rewritten(data, tmp_path / "red", lambda one: one)
    for path in (data / "other").iterdir():
        shutil.copy(path, red)
    other = row_of(report, "pictures by somebody else", "of 3 of 9 sentences")
    assert other.metrics == evaluate_path(bundle, "test", data=red).metrics()


@pytest.mark.parametrize("task", ["relations", "tags"])
def test_every_row_has_its_place_its_seeds_and_its_interval(task: str, reports: Callable[[str], QualityReport]) -> None:
    report = reports(task)
    groups = ["auxiliary images of a sentence", "detector crops of a sentence"]
    assert list(dict.fromkeys(row.change for row in report.of_part("pictures"))) == groups
    names = [
        "image dropped",
        "image of another sentence",
        "Gaussian noise",
        "blur",
        "JPEG",
        "pictures by somebody else",
    ]
    words = ["all words but head and tail dropped"] if task == "relations" else []
    assert {row.change for row in report.of_part("robustness")} == {*names, *words}
    assert [len(row.by_seed) for row in report.of_part("pictures")] == [1, 2, 2, 1] * 2
    assert all(row.low <= row.difference + 1e-12 and row.difference <= row.high + 1e-12 for row in report.rows)
    rows = report.of_part("frontier")
    assert [row.level for row in rows] == ["text + image", "text + auxiliary images", "text + detector crops", "text"]
    assert sum(row.recommended for row in rows) == 1
    assert (report.items, report.count, report.unit) == ("sentences", 12, "sentences")


def test_words_around_head_and_tail_are_dropped(
    folders: Callable[[str], Path], reports: Callable[[str], QualityReport], tmp_path: Path
) -> None:
    def bare(one: dict[str, Any]) -> dict[str, Any]:
        return one | {"words": [one["words"][0], one["words"][-2]], "head": [0, 1], "tail": [1, 2]}

    data = rewritten(folders("relations") / "data", tmp_path / "data", bare)
    expected = evaluate_path(folders("relations") / "bundle", "test", data=data).metrics()
    row = row_of(reports("relations"), "all words but head and tail dropped", "100 % of the sentences")
    assert row.metrics == expected


def test_of_overlapping_spans_each_word_is_kept_once() -> None:
    one = RelationSentence(("a", "b", "c", "d", "e"), (3, 5), (1, 4), "none")
    (found,) = AskedSentences([one]).bare(np.array([0])).sentences
    assert isinstance(found, RelationSentence)
    assert (found.words, found.head, found.tail) == (("b", "c", "d", "e"), (2, 4), (0, 3))


def test_a_sentence_that_is_not_read_has_its_own_row_and_images_as_they_are_are_encoded_once(
    folders: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, encoded = folders("relations"), []
    with Extractor.load(folder / "bundle", device="cpu", threads=1) as extractor:
        encode = extractor.encode_images
        monkeypatch.setattr(extractor, "encode_images", lambda **crops: encoded.append(1) or encode(**crops))
        asked = AskedSentences.of(extractor, str(folder / "data"), None, "test", 5000)
        subject = RelationSubject(extractor, asked.sentences)
        with pytest.warns(UserWarning, match="1 of 12 sentences count as answered wrongly"):
            outcome = subject.measure(None)
        assert outcome.items[UNREAD].tolist() == [0, 0, 1]
        assert outcome.items[:, 2].tolist() == [number % 3 > 0 for number in range(12)]
        assert subject.value(outcome.items.sum(axis=0), 12) == pytest.approx(outcome.metrics["micro_f1"])
        shown = len({one.images for row, one in enumerate(asked.sentences) if row != UNREAD})
        assert len(encoded) == shown
        for changed in (asked.without(asked.pictured[:3]), asked.exchanged(asked.pictured)):
            with pytest.warns(UserWarning, match="answered wrongly"):
                assert subject.measure(changed).items.shape == (12, 3)
        assert len(encoded) <= shown + 1  # that of the sentence that is not read goes with another
        with pytest.warns(UserWarning, match="answered wrongly"):
            subject.measure(asked.changed(blurred_a_little, 0))
        assert len(encoded) > shown + 5


def blurred_a_little(image: Any, random: np.random.Generator) -> Any:
    return blurred(image, 0.02)


def test_images_without_names_of_their_own_have_no_others(tmp_path: Path) -> None:
    places = [tmp_path / folder / "crop.png" for folder in "ab"]
    one = RelationSentence(("a", "b"), (0, 1), (1, 2), "none", SentenceImages(aux=places))
    with pytest.raises(DataError, match=r"several images of the data are called 'crop\.png'"):
        AskedSentences([one]).others(tmp_path)


@pytest.mark.parametrize(
    ("asked", "error", "said"),
    [
        ({"data": None}, DataError, "--data"),
        ({"data": "atlas-mentions"}, DataError, "expected sentences with relations"),
        ({"data": "atlas-tags"}, DataError, "expected sentences with relations"),
        ({"data": "atlas-relations"}, DataError, "is not in"),
        ({"tokens": {"text": [1]}}, QueryError, "--tokens"),
        ({"other_images": Path(__file__).parent}, DataError, "no picture called as"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_is_written(
    asked: dict[str, Any], error: type[Exception], said: str, folders: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = folders("relations")
    with pytest.raises(error, match=said):
        run_quality(folder / "bundle", tmp_path / "out", **{"data": str(folder / "data"), **QUICK, **asked})
    assert not (tmp_path / "out").exists()
