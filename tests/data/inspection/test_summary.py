"""What `summarize` says of each kind of data, counted by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mmkg_sdk.data import open_data
from mmkg_sdk.data.inspection.summary import summarize
from mmkg_sdk.data.sentences import TaggedSentence, TaggingData
from tests.places import REAL_DATA

from ..folders import own_linking, own_relations, own_tags, small_dataset, small_mygo, write_files


def test_a_knowledge_graph():
    answer = summarize(small_dataset())
    assert answer["kind"] == "link-prediction"
    assert (answer["entities"], answer["relations"], answer["train"], answer["valid"], answer["test"]) == (
        3,
        2,
        2,
        1,
        0,
    )
    assert answer["visual"]["coverage"] == pytest.approx(2 / 3)
    assert answer["visual_features"] is None
    json.dumps(answer)


def test_a_knowledge_graph_tells_how_many_entities_have_what(tmp_path):
    folder = small_mygo(tmp_path / "set")
    write_files(folder, {"descriptions.tsv": "A\tfirst\n", "entity2text.txt": "B\tsecond\nA\tfirst\nE\tno entity\n"})
    write_files(folder / "images", {"A.png": b"", "B.jpg": b"", "C.txt": b""})
    np.save(folder / "X-visual.npy", np.array([[1], [0], [2], [3]], np.float32))
    answer = summarize(open_data(folder))
    assert (answer["entities"], answer["entities_with_image"], answer["entities_with_text"]) == (4, 2, 2)
    assert answer["visual_features"] == {"entities": 3, "coverage": 0.75, "width": 1}
    assert (answer["text_features"], answer["visual"], answer["text"]) == (None, None, None)


def test_mentions_of_entities(tmp_path):
    answer = summarize(open_data(own_linking(tmp_path / "small")))
    assert answer == {
        "kind": "entity-linking",
        "name": "small",
        "entities": 3,
        "train": 2,
        "valid": 0,
        "test": 1,
        "entities_with_text": 2,
        "entities_with_image": 1,
        "entities_sharing_a_name": 2,
        "entities_with_mentions": 3,
        "mentions_with_sentence": 3,
        "mentions_with_image": 1,
        "distinct_mentions": 2,  # Georgia, the city
        "ambiguous_mentions": 1,  # Georgia
        "mentions_unlike_the_name": 1,  # the city
        "remarks": ["valid: no mentions."],
    }


def test_sentences_with_relations(tmp_path):
    assert summarize(open_data(own_relations(tmp_path / "small"))) == {
        "kind": "relation-extraction",
        "name": "small",
        "relations": 2,
        "train": 1,
        "valid": 1,
        "test": 0,
        "words_per_sentence": 3.5,
        "longest_sentence": 5,
        "sentences_with_image": 1,
        "sentences_with_crops": 0,
        "label_counts": {"none": 1, "/per/loc/lives_in": 1},
        "remarks": [
            "test: no sentences.",
            "1 of 2 relations have no training sentence; 1 of 1 sentences of valid and test have one of them.",
        ],
    }


def test_sentences_with_tags(tmp_path):
    answer = summarize(open_data(own_tags(tmp_path / "small")))
    assert answer["kind"] == "entity-recognition"
    assert answer["label_counts"] == {"LOC": 1, "PER": 1}
    assert answer["words_per_sentence"] == 2.5


def test_an_entity_starts_at_every_b_and_at_an_i_that_continues_nothing():
    tags = ("I-PER", "I-PER", "B-PER", "I-LOC", "O", "I-LOC", "I-LOC")
    data = TaggingData("x", (TaggedSentence(("w",) * 7, tags),), (), ())
    assert summarize(data)["label_counts"] == {"LOC": 2, "PER": 2}


def test_data_without_sentences_has_no_division_by_zero():
    answer = summarize(TaggingData("x", (), (), ()))
    assert (answer["words_per_sentence"], answer["longest_sentence"], answer["label_counts"]) == (0.0, 0, {})


# Of the README of the data: mention strings with several entities, and mentions that are not the name.
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("name", "key", "count"),
    [
        ("WikiMEL", "ambiguous_mentions", 874),
        ("WikiMEL", "mentions_unlike_the_name", 13_568),
        ("WikiMEL", "entities_with_mentions", 17_391),
        ("RichpediaMEL", "mentions_unlike_the_name", 13_113),
        ("MNRE", "relations", 23),
    ],
)
def test_public_data_has_the_counts_of_its_readme(name, key, count):
    if not (REAL_DATA / name).is_dir():
        pytest.skip(f"the real data set {name} is not on this machine")
    assert summarize(open_data(REAL_DATA / name))[key] == count


def test_crops_count(tmp_path):
    write_files(tmp_path, {"crop.png": b""})
    line = '{"words": ["Hello"], "tags": ["O"], "rcnn": ["crop.png"]}\n'
    answer = summarize(open_data(own_tags(tmp_path, {"tags-valid.jsonl": line})))
    assert answer["sentences_with_crops"] == 1
    assert answer["sentences_with_image"] == 0
