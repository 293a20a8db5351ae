"""The study of modalities on a graph of 24 things that are told apart by words and by pictures, with tiny models."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmkg_sdk.bench.modalities.neighbours import NEIGHBOURS, graph_neighbours, look_vectors, word_vectors
from mmkg_sdk.bench.modalities.study import measure_modalities
from mmkg_sdk.bench.modalities.trained import read_trained
from mmkg_sdk.bench.modalities.variants import VARIANTS
from mmkg_sdk.data.graph import DataSet
from mmkg_sdk.data.open import open_kind
from mmkg_sdk.errors import DataError

KINDS, EACH = 4, 6
TINY = {
    "embedding_dim": 8,
    "feedforward_dim": 8,
    "num_visual_tokens": 2,
    "num_text_tokens": 2,
    "epochs": 1,
    "batch_size": 32,
    "validate_every": 1,
}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Things of a kind have a word, a colour and their facts in common."""
    folder = tmp_path_factory.mktemp("things")
    random = np.random.default_rng(0)
    things = [f"thing {kind} {number}" for kind in range(KINDS) for number in range(EACH)]
    triples = [
        (thing, relation, f"thing {(int(thing.split()[1]) + step) % KINDS} {random.integers(EACH)}")
        for thing in things
        for relation, step in (("near", 0), ("after", 1))
    ]
    for split, rows in {"train": triples[8:], "valid": triples[:4], "test": triples[4:8]}.items():
        (folder / f"{split}.txt").write_text("".join("\t".join(row) + "\n" for row in rows))
    (folder / "entity2id.txt").write_text("".join(f"{thing}\t{row}\n" for row, thing in enumerate(things)))
    (folder / "relation2id.txt").write_text("near\t0\nafter\t1\n")
    words = ("round", "flat", "tall", "odd")
    (folder / "descriptions.tsv").write_text(
        "".join(f"{thing}\ta {words[int(thing.split()[1])]} thing, number {thing[-1]}\n" for thing in things)
    )
    for thing in things:
        place = folder / "images" / thing
        place.mkdir(parents=True)
        for picture in range(2):
            pixels = random.integers(0, 8, (16, 16, 3))
            kind = int(thing.split()[1])
            pixels[4 * kind : 4 * kind + 4, 4:12, kind % 3] += 200  # a bar, of another colour and higher or lower
            Image.fromarray(pixels.astype(np.uint8)).save(place / f"{picture}.png")
    return folder


def test_variants_are_trained_once_and_compared_with_the_first(source: Path, tmp_path: Path) -> None:
    out, work = tmp_path / "found.json", tmp_path / "work"
    asked: dict[str, Any] = {
        "work": work,
        "preset": "none",
        "settings": TINY,
        "variants": ["text", "1 picture"],
        "seeds": 2,
        "threads": 1,
    }
    said: list[str] = []
    found = measure_modalities("mygo", str(source), out, say=said.append, **asked)
    assert json.loads(out.read_text()) == found
    assert [row["name"] for row in found["variants"]] == ["image and text", "text", "1 picture"]
    assert sum("seed" in line for line in said) == 6
    assert found["test items"] == 8
    first, text, _ = found["variants"]
    trained = [read_trained(work / f"mygo-text-{seed}.json") for seed in (1, 2)]
    assert text["mrr"] == [float(one.reciprocal_ranks.mean()) for one in trained]
    assert text["metrics"]["hits_at_1"] == {
        "mean": mean(one.metrics["hits_at_1"] for one in trained),
        "deviation": stdev(one.metrics["hits_at_1"] for one in trained),
    }
    assert text["change"] == pytest.approx(mean(text["mrr"]) - mean(first["mrr"]))
    low, high = text["interval"]
    assert low <= text["change"] <= high
    settings = json.loads((work / "mygo-text-2" / "run.json").read_text())
    assert settings["settings"]["seed"] == 2
    assert settings["source"]["drop_modality"] == {"image": 1.0}
    states = {path: path.stat().st_mtime_ns for path in work.rglob("*")}
    again = measure_modalities("mygo", str(source), out, **asked)
    assert again["variants"] == found["variants"]
    assert states == {path: path.stat().st_mtime_ns for path in work.rglob("*")}


def test_neighbours_answer_as_a_plain_count_does(source: Path) -> None:
    data = open_kind(str(source), DataSet)
    vectors = word_vectors([data.descriptions[label] for label in data.graph.entities])
    graph = data.graph
    known = {(h, r, t) for h, r, t in graph.triples.tolist()}
    train = graph.train.tolist()
    ranks = []
    for column in (0, 2):
        for triple in graph.test.tolist():
            asked, relation, right = triple[2 - column], triple[1], triple[column]
            askers = sorted({row[2 - column] for row in train if row[1] == relation})
            like = {one: float(vectors[one] @ vectors[asked]) if one != asked else 0.0 for one in askers}
            nearest = sorted(askers, key=lambda one, like=like: (-like[one], one))[:NEIGHBOURS]  # type: ignore[misc]
            scores = Counter[int]()
            told = [(row[2 - column], row[column]) for row in train if row[1] == relation]
            distinct = set(told)
            for asker, answer in distinct:
                scores[answer] += 1e-3 / len(distinct) + (like[asker] if asker in nearest else 0.0)
            others = [
                scores[one]
                for one in range(len(graph.entities))
                if one != right and ((asked, relation, one) if column == 2 else (one, relation, asked)) not in known
            ]
            better = sum(score > scores[right] + 1e-7 for score in others)
            equal = sum(abs(score - scores[right]) <= 1e-7 for score in others)
            ranks.append(1 + better + equal / 2)
    found = graph_neighbours(data, vectors)
    assert found["mrr"] == pytest.approx(mean(1 / rank for rank in ranks), abs=1e-6)
    assert found["hits_at_3"] == pytest.approx(mean(rank <= 3 for rank in ranks))


def test_words_are_weighed_by_how_rare_they_are() -> None:
    vectors = word_vectors(["a red hat", "a red cap", "", "a"])
    rare, common = math.log(4 / 1), math.log(4 / 2)
    everywhere = math.log(4 / 3)
    length = math.sqrt(rare**2 + common**2 + everywhere**2)
    assert vectors[0] @ vectors[1] == pytest.approx((common**2 + everywhere**2) / length**2, rel=1e-5)
    assert not vectors[2].any()


def test_things_of_a_kind_look_alike(source: Path) -> None:
    folders = sorted((source / "images").iterdir())
    vectors = look_vectors([*(sorted(folder.iterdir()) for folder in folders), []])
    assert not vectors[-1].any()
    likeness = vectors[:-1] @ vectors[:-1].T
    np.fill_diagonal(likeness, -1)
    kinds = np.repeat(np.arange(KINDS), EACH)
    assert (kinds[likeness.argmax(axis=1)] == kinds).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"variants": ["no such"]}, "unknown variant 'no such' of mygo; expected 'image and text'"),
        ({"seeds": 1}, "1 seeds; expected at least 2"),
        ({"out": "nowhere/found.json"}, "nowhere is no folder"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    changes: dict[str, Any], message: str, source: Path, tmp_path: Path
) -> None:
    given = {"out": tmp_path / "found.json", "work": tmp_path / "work"} | changes
    with pytest.raises(DataError, match=message):
        measure_modalities("mygo", str(source), given.pop("out"), **given)
    assert not (tmp_path / "work").exists()


def test_what_another_study_found_is_not_taken_for_this_one(source: Path, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"work": tmp_path / "work", "preset": "none", "seeds": 2, "threads": 1}
    few: dict[str, Any] = {"variants": ["text"], "settings": TINY, **asked}
    measure_modalities("mygo", str(source), tmp_path / "found.json", **few)
    for changed in ({"settings": TINY | {"epochs": 2}}, {"images": source / "images"}, {"preset": "cpu"}):
        with pytest.raises(DataError, match=r"work is of a study with .*; this one has .* Choose another --work"):
            measure_modalities("mygo", str(source), tmp_path / "other.json", **few | changed)
    assert not (tmp_path / "other.json").exists()


def test_a_damaged_picture_and_none_at_all_are_said(tmp_path: Path) -> None:
    (tmp_path / "damaged.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"damaged.png cannot be read: .* Replace it"):
        look_vectors([[tmp_path / "damaged.png"]])
    with pytest.raises(DataError, match="have no pictures"):
        look_vectors([[], []])


@pytest.mark.parametrize(
    ("family", "source", "changes", "message"),
    [
        ("mygo", "atlas-mentions", {}, "holds mentions; mygo is trained on a knowledge graph"),
        ("mimic", "atlas-mentions", {"images": "pictures"}, "mimic sees the pictures .*; leave --images out"),
    ],
)
def test_data_and_pictures_of_another_family_are_refused(
    family: str, source: str, changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        measure_modalities(family, source, tmp_path / "found.json", work=tmp_path / "work", **changes)


def test_sentences_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="atlas-tags holds sentences"):
        measure_modalities("mkgformer", "atlas-tags", tmp_path / "found.json", work=tmp_path / "work")


def test_every_variant_differs_from_the_others_of_its_family() -> None:
    for variants in VARIANTS.values():
        assert len({variant.name for variant in variants}) == len(variants)
        assert not variants[0].settings
        assert not variants[0].dropped
        seen = [(one.settings, one.dropped, one.pictures, one.image_model) for one in variants]
        assert all(seen.count(one) == 1 for one in seen)
