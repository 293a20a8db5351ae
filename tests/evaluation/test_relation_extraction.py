"""Accuracy and micro-averages without the negative class, against scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
import pytest

from mmkg_sdk.errors import DataError
from mmkg_sdk.evaluation.relation_extraction import RelationReport, relation_report
from mmkg_sdk.files.labels import Labels


def report(found: list[int], right: list[int], *names: str) -> RelationReport:
    return RelationReport(np.array(found), np.array(right), Labels(names, kind="relation"))


def test_the_negative_class_counts_for_accuracy_only() -> None:
    metrics = report([0, 0, 1, 1, 2], [0, 1, 1, 2, 2], "none", "a", "b").metrics()
    counts = report([0, 0, 1, -2, 2], [0, 1, 1, 2, 0], "none", "a", "b").counts
    assert counts.tolist() == [[0, 0, 0], [0, 0, 1], [1, 1, 1], [0, 0, 1], [0, 1, 0]]
    # Related and found: 3, of which right 2; related: 4.
    assert metrics == pytest.approx(
        {"accuracy": 3 / 5, "micro_precision": 2 / 3, "micro_recall": 2 / 4, "micro_f1": 4 / 7}
    )


def test_the_first_name_of_the_list_is_the_negative_class() -> None:
    both = report([0, 1], [0, 1], "None", "Other").metrics()
    assert both["micro_recall"] == 1
    metrics = report([0, 0], [0, 1], "None", "Other").metrics()
    assert (metrics["micro_precision"], metrics["micro_recall"]) == (0.5, 1)  # Other comes first in the list
    assert report([1, 1], [0, 1], "None", "Other").metrics() == {
        "accuracy": 0.5,
        "micro_precision": 0.0,
        "micro_recall": 0.0,
        "micro_f1": 0.0,
    }


def test_without_a_negative_class_all_averages_are_the_accuracy() -> None:
    metrics = report([0, 0, 1, 1], [0, 1, 1, 1], "a", "b").metrics()
    assert set(metrics.values()) == {0.75}


def test_a_sentence_that_cannot_be_read_counts_as_answered_wrongly() -> None:
    relations = Labels(["none", "a", "b"], kind="relation")
    scores, right, unread = np.eye(3)[[0, 1, 1]], np.array([0, 1, 2]), np.array([1, 0])
    with pytest.warns(UserWarning, match=r"2 of 5 sentences count as answered wrongly: their head or tail begins"):
        found = relation_report(scores, right, relations, unread)
    # Right: none and a. Related and found: 2, of which right 1; related: a, b and the a that cannot be read.
    assert found.metrics() == pytest.approx(
        {"accuracy": 2 / 5, "micro_precision": 1 / 2, "micro_recall": 1 / 3, "micro_f1": 2 / 5}
    )
    assert (found.to_json()["sentences"], found.to_json()["unread"]) == (5, 2)
    without = relation_report(np.eye(2), np.array([0, 1]), Labels(["a", "b"], kind="relation"), np.array([1]))
    assert without.metrics() == pytest.approx(
        {"accuracy": 2 / 3, "micro_precision": 1.0, "micro_recall": 2 / 3, "micro_f1": 0.8}
    )


def test_averages_are_those_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    random = np.random.default_rng(0)
    found, right = random.integers(0, 5, (2, 400))
    ours = report(found.tolist(), right.tolist(), "a", "b", "na", "c", "d").metrics()
    theirs = metrics.precision_recall_fscore_support(right, found, labels=[0, 1, 3, 4], average="micro")
    assert [ours[f"micro_{name}"] for name in ("precision", "recall", "f1")] == pytest.approx(theirs[:3])
    assert ours["accuracy"] == pytest.approx(metrics.accuracy_score(right, found))


def test_equal_scores_mean_the_first_relation_and_no_sentence_is_an_error() -> None:
    relations = Labels(["a", "b"], kind="relation")
    found = relation_report(np.array([[1.0, 1.0], [0.0, 2.0]]), np.array([0, 1]), relations)
    assert found.found.tolist() == [0, 1]
    assert found.to_json()["sentences"] == 2
    with pytest.raises(DataError, match="no sentences"):
        relation_report(np.empty((0, 2)), np.empty(0, np.int64), relations)
