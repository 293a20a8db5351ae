"""What is odd about data, counted by hand."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from mmkg_sdk.data import open_data
from mmkg_sdk.data.graph import DataSet, KnowledgeGraph
from mmkg_sdk.data.inspection.remarks import remarks
from mmkg_sdk.data.mentions import LabelledMention, LinkingData
from mmkg_sdk.data.sentences import RelationData, RelationSentence, SentenceImages, TaggedSentence, TaggingData
from mmkg_sdk.files.labels import Labels
from tests.places import REAL_DATA


def graph(train, valid, test):
    splits = [np.array(rows, np.int64).reshape(-1, 3) for rows in (train, valid, test)]
    return DataSet(KnowledgeGraph("x", Labels("abcde"), Labels(["r", "s"], kind="relation"), *splits))


def test_a_graph_without_anything_odd_has_no_remark():
    assert remarks(graph([[0, 0, 1], [2, 1, 3], [4, 0, 0]], [[1, 0, 0]], [[3, 1, 2]])) == []


def test_repeats_overlaps_and_what_training_never_saw_are_counted_in_a_graph():
    train = [[0, 0, 1], [0, 0, 1], [1, 0, 2]]
    valid = [[0, 0, 1], [0, 1, 3], [0, 1, 3]]
    test = [[0, 0, 1], [1, 0, 2], [0, 1, 3], [2, 0, 0]]
    assert remarks(graph(train, valid, test)) == [
        "train: 1 of 3 triples repeat an earlier one; they are kept.",
        "valid: 1 of 3 triples repeat an earlier one; they are kept.",
        "valid: 1 of 3 triples stand in train, too.",
        "test: 2 of 4 triples stand in train, too.",
        "test: 2 of 4 triples stand in valid, too.",
        "2 of 5 entities have no training triple; 3 of 7 triples of valid and test have one of them.",
        "1 of 2 relations have no training triple; 3 of 7 triples of valid and test have one of them.",
    ]


def test_empty_splits_are_said():
    ring = [[0, 0, 1], [2, 1, 3], [4, 0, 0]]
    assert remarks(graph(ring, [], [])) == ["valid: no triples.", "test: no triples."]


def relation(text, name, head=(0, 1), image=None):
    return RelationSentence(tuple(text.split()), head, (1, 2), name, SentenceImages(image))


def test_the_same_sentence_with_other_spans_is_another_one(tmp_path):
    train = (relation("Ada met Bo", "r"), relation("Ada met Bo", "r", head=(2, 3)), relation("Ada met Bo", "s"))
    test = (relation("Ada met Bo", "t", image=tmp_path), relation("Bo left", "r"))
    data = RelationData("x", Labels(["r", "s", "t"], kind="relation"), train, (relation("Hi there", "r"),), test)
    assert remarks(data) == [
        "train: 1 of 3 sentences repeat an earlier one; they are kept.",
        "test: 1 of 2 sentences stand in train, too.",
        "1 of 3 relations have no training sentence; 1 of 3 sentences of valid and test have one of them.",
    ]


def test_tagged_sentences_are_compared_by_their_words():
    one, other, third = (TaggedSentence((word,), ("O",)) for word in "abc")
    assert remarks(TaggingData("x", (one, one), (other,), (third, other))) == [
        "train: 1 of 2 sentences repeat an earlier one; they are kept.",
        "test: 1 of 2 sentences stand in valid, too.",
    ]


def test_mentions_are_compared_without_their_images(tmp_path):
    def mention(sentence, entity=0, image=None):
        return LabelledMention("Ada", sentence, image, entity)

    train, valid = (mention("Ada met Bo."), mention("Ada sleeps.")), (mention("Ada sleeps.", entity=1),)
    test = (mention("Ada met Bo.", image=tmp_path), mention("Ada reads."))
    data = LinkingData("x", Labels("ab"), ("", ""), ("", ""), (None, None), train, valid, test)
    assert remarks(data) == ["test: 1 of 2 mentions stand in train, too."]


# Counted from the published files with sort and comm.
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("DB15K", "valid: 2,423 of 9,904 triples repeat an earlier one; they are kept."),
        ("DB15K", "valid: 8,719 of 9,904 triples stand in train, too."),
        ("FB15k-237", "36 of 14,541 entities have no training triple; 37 of 38,001 triples of valid and test have"),
    ],
)
def test_public_graphs_have_the_repeats_that_are_in_their_files(name, expected):
    if not (REAL_DATA / name).is_dir():
        pytest.skip(f"the real data set {name} is not on this machine")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert any(remark.startswith(expected) for remark in remarks(open_data(REAL_DATA / name)))
