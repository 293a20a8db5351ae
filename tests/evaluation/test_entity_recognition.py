"""Entities and their micro-averages as seqeval 1.2.2 counts them; its own results stand here as expected values."""

from __future__ import annotations

import numpy as np
import pytest

from mmkg_sdk.answering.answers.entities import tag_chunks
from mmkg_sdk.errors import DataError
from mmkg_sdk.evaluation.entity_recognition import entity_report
from mmkg_sdk.families.mkgformer.texts.preparation import TAG_CLASSES
from mmkg_sdk.files.labels import Labels

NAMES = Labels(TAG_CLASSES, kind="tag")


# Each expected value is seqeval 1.2.2's `get_entities`, its last positions counted one further.
@pytest.mark.parametrize(
    ("tags", "chunks"),
    [
        ("B-PER I-PER O B-LOC", [("PER", 0, 2), ("LOC", 3, 4)]),
        ("I-PER I-PER", [("PER", 0, 2)]),
        ("B-PER B-PER I-PER", [("PER", 0, 1), ("PER", 1, 3)]),
        ("B-PER I-LOC O", [("PER", 0, 1), ("LOC", 1, 2)]),
        ("O I-MISC O I-MISC", [("MISC", 1, 2), ("MISC", 3, 4)]),
        ("O O", []),
        ("", []),
        ("B-PER X I-PER", [("PER", 0, 1), ("_", 1, 2), ("PER", 2, 3)]),
        ("O X O", []),
        ("X B-LOC", [("_", 0, 1), ("LOC", 1, 2)]),
        ("O X X B-LOC", [("_", 0, 3), ("LOC", 3, 4)]),
        ("[CLS] [SEP] PAD O", [("CLS]", 0, 1), ("SEP]", 1, 2), ("AD", 2, 3)]),
    ],
)
def test_chunks_are_those_of_seqeval(tags: str, chunks: list[tuple[str, int, int]]) -> None:
    assert tag_chunks(tags.split()) == chunks


def test_chunks_of_random_tags_are_those_of_seqeval() -> None:
    seqeval = pytest.importorskip("seqeval.metrics.sequence_labeling", reason="seqeval is not installed")
    random = np.random.default_rng(0)
    for _ in range(2000):
        tags = [TAG_CLASSES[row] for row in random.integers(0, len(TAG_CLASSES), random.integers(0, 9))]
        theirs = [(kind, first, last + 1) for kind, first, last in seqeval.get_entities(list(tags))]
        assert tag_chunks(tags) == theirs


def classes(*rows: str) -> np.ndarray:
    """Classes by name, a row each; "-" = -1."""
    return np.array([[-1 if name == "-" else TAG_CLASSES.index(name) for name in row.split()] for row in rows])


def test_only_first_pieces_between_the_marks_count() -> None:
    right = classes("[CLS] B-PER X I-PER O [SEP] PAD", "[CLS] B-LOC O O [SEP] PAD PAD")
    same = entity_report(classes("B-LOC B-PER B-LOC I-PER O B-PER -", "O B-LOC O O O - -"), right, NAMES)
    assert same.metrics() == {"precision": 1.0, "recall": 1.0, "f1": 1.0}
    assert same.to_json() == {"sentences": 2, "entities": 2, "found": 2, "precision": 1.0, "recall": 1.0, "f1": 1.0}


def test_entities_count_as_a_whole_and_with_their_kind() -> None:
    right = classes("[CLS] B-PER I-PER O B-LOC [SEP]", "[CLS] B-ORG O O O [SEP]")
    found = classes("O B-PER O O B-LOC O", "O B-PER O B-MISC O O")
    report = entity_report(found, right, NAMES)
    assert (report.hits, report.found, report.right) == (1, 4, 3)
    assert report.counts.tolist() == [[1, 2, 2], [0, 2, 1]]
    assert report.metrics() == pytest.approx({"precision": 1 / 4, "recall": 1 / 3, "f1": 2 / 7})


def test_marks_among_the_found_tags_are_false_entities() -> None:
    right = classes("[CLS] B-PER O O [SEP]")
    report = entity_report(classes("O B-PER [CLS] O O"), right, NAMES)
    assert (report.hits, report.found) == (1, 2)
    assert entity_report(classes("O B-PER X B-LOC O"), right, NAMES).found == 3


def test_the_same_span_of_another_sentence_is_another_entity() -> None:
    right = classes("[CLS] B-PER O [SEP]", "[CLS] O O [SEP]")
    report = entity_report(classes("O O O O", "O B-PER O O"), right, NAMES)
    assert (report.hits, report.found, report.right) == (0, 1, 1)
    assert report.metrics()["f1"] == 0.0
    # I- at the beginning of a sentence does not go on with the entity that ended the one before.
    right = classes("[CLS] O B-PER [SEP]", "[CLS] I-PER O [SEP]")
    assert entity_report(right, right, NAMES).right == 2


def test_a_split_without_sentences_is_an_error() -> None:
    with pytest.raises(DataError, match="no sentences"):
        entity_report(np.empty((0, 4), np.int64), np.empty((0, 4), np.int64), NAMES)
