"""MKGformer's layout of link prediction, and its order of candidates in other layouts."""

from __future__ import annotations

import dataclasses
import json
import lzma
import random
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

from mmkg_sdk.data import read_dataset, write_dataset
from mmkg_sdk.data.graph import Features
from mmkg_sdk.data.layouts.mkgformer import choose_images, in_text_order
from mmkg_sdk.data.sentences import SentenceImages
from mmkg_sdk.errors import DataError
from tests.places import GOLDEN, REAL_DATA

from ..folders import pack_files, same_dataset, small_dataset, small_openke, write_changed, write_files

CASES = GOLDEN / "mkgformer" / "text_prep"
FILES = ("train.tsv", "dev.tsv", "test.tsv", "entity2text.txt", "relation2text.txt", "relations.txt")


def real(name):
    if not (REAL_DATA / name).is_dir():
        pytest.skip(f"the real data set {name} is not on this machine")
    return REAL_DATA / name


@pytest.fixture
def golden(tmp_path):
    folder = tmp_path / "golden"
    folder.mkdir()
    for name in FILES:
        shutil.copy(CASES / name, folder / name)
    return folder


def small_mkgformer(folder, changes=None):
    files = {
        "train.tsv": "/m/b\t/r/x\t/m/a\n",
        "dev.tsv": "",
        "test.tsv": "/m/a\t/r/y\t/m/b\n",
        "entity2text.txt": "/m/a\tAda Vale\n/m/z\tNobody\n/m/b\tBo\n",
        "relation2text.txt": "/r/x\tlikes\n/r/y\tknows\n",
        "relations.txt": "/r/y\n/r/x\n",
    }
    return write_changed(folder, files, changes)


def test_rows_follow_the_lines_of_the_text_file_and_of_the_list_of_relations(golden):
    dataset = read_dataset(golden)
    expected = json.loads((CASES / "lp_expected.json").read_text())
    assert list(dataset.graph.entities) == list(dataset.entity_texts) == expected["entity_order"]
    assert list(dataset.graph.relations) == list(dataset.relation_texts) == expected["relation_order"]
    assert dataset.entity_texts["/m/e4"] == "first\\nsecond back\\slash"
    assert dataset.relation_texts["/r/1/x"] == "city singing"
    assert dataset.descriptions == dataset.entity_texts
    assert dataset.source_ids == {}


@pytest.mark.parametrize(("split", "official"), [("valid", "dev"), ("test", "test")])
def test_every_triple_asks_for_the_golden_head_and_tail(golden, split, official):
    features = json.loads((CASES / "lp_expected.json").read_text())["features"][f"stage2_bce1_{official}"]
    triples = read_dataset(golden).graph.split(split)
    assert triples[:, [0, 2]].ravel().tolist() == [feature["label"] for feature in features]


def test_compressed_files_read_like_plain_ones(golden):
    plain = read_dataset(golden)
    assert same_dataset(read_dataset(pack_files(golden, lzma.compress, ".xz")), plain)


def test_the_long_texts_win_and_the_short_ones_are_names(tmp_path):
    long = "/m/b\tBo sleeps.\n/m/a\tAda reads.\n/m/z\t\n"
    dataset = read_dataset(small_mkgformer(tmp_path, {"entity2textlong.txt": long}))
    assert list(dataset.graph.entities) == ["Bo", "Ada Vale", "Nobody"]
    assert dataset.entity_texts == {"Bo": "Bo sleeps.", "Ada Vale": "Ada reads.", "Nobody": ""}
    assert dataset.descriptions == {"Bo": "Bo sleeps.", "Ada Vale": "Ada reads."}
    assert dataset.source_ids == {"Bo": "/m/b", "Ada Vale": "/m/a", "Nobody": "/m/z"}
    assert dataset.graph.train.tolist() == [[0, 1, 1]]


def test_wordnet_offsets_are_called_by_the_words_before_the_comma(tmp_path):
    changes = {
        "entity2text.txt": "00000001\tdog, a pet, or not\n00000002\tdog, a frankfurter\n00000003\tcat, a pet\n",
        "train.tsv": "00000001\t/r/x\t00000003\n",
        "test.tsv": "",
    }
    dataset = read_dataset(small_mkgformer(tmp_path, changes))
    assert list(dataset.graph.entities) == ["dog (00000001)", "dog (00000002)", "cat"]
    assert dataset.entity_texts["cat"] == "cat, a pet"


def test_triples_without_a_text_are_left_out_with_a_warning(tmp_path):
    changes = {
        "train.tsv": "/m/b\t/r/x\t/m/a\n/m/b\t/r/x\t/m/q\n/m/b\t/r/none\t/m/a\n",
        "relation2text.txt": "/r/x\tlikes\n",
    }
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        dataset = read_dataset(small_mkgformer(tmp_path, changes))
    assert [str(warning.message).split("/")[-1] for warning in caught] == [
        "train.tsv: 2 of 3 triples have an id without a text; they are left out.",
        "test.tsv: 1 of 1 triples have an id without a text; they are left out.",
    ]
    assert dataset.graph.train.tolist() == [[2, 1, 0]]
    assert list(dataset.graph.relations) == ["/r/y", "/r/x"]
    assert dataset.relation_texts == {"/r/x": "likes"}


MALFORMED = {
    "two columns": ({"train.tsv": "/m/b\t/r/x\n"}, r"train.tsv:1: expected 3 columns"),
    "no train": ({"train.tsv": ""}, r"train.tsv has no triples"),
    "only unknown": ({"train.tsv": "/m/q\t/r/x\t/m/a\n"}, r"train.tsv has no triples"),
    "dev missing": ({"dev.tsv": None}, r"no dev.tsv"),
    "no texts": ({"entity2text.txt": None}, r"no entity2text.txt"),
    "no entity": ({"entity2text.txt": ""}, r"entity2text.txt lists no entity"),
    "id twice": (
        {"entity2text.txt": "/m/a\tx\n/m/a\ty\n"},
        r"entity2text.txt:2: name '/m/a' stands there a second time",
    ),
    "empty id": ({"entity2text.txt": "/m/a\tx\n\ty\n"}, r"entity2text.txt:2: name '' is empty"),
    "no tab": ({"entity2text.txt": "/m/a x\n"}, r"entity2text.txt:1: expected 2 columns"),
    "relation twice": ({"relations.txt": "/r/x\n/r/x\n"}, r"relations.txt: relation label '/r/x' stands at 0"),
    "empty relation": ({"relations.txt": "/r/x\n\n/r/y\n"}, r"relations.txt: relation label 1 is ''"),
    "no relation texts": ({"relation2text.txt": None}, r"no relation2text.txt"),
    "not UTF-8": ({"entity2text.txt": b"/m/a\t\xff\n"}, r"entity2text.txt:1: byte 0xff"),
    "two layouts": ({"train.txt": "a\tb\tc\n"}, r"train.txt and train.tsv, 2 layouts"),
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_file_is_named_with_its_line(tmp_path, case):
    changes, message = MALFORMED[case]
    with pytest.raises(DataError, match=message):
        read_dataset(small_mkgformer(tmp_path, changes))


def openke_with_texts(folder):
    """/m/b has no short text; /m/z stands in no triple and shares the name of /m/c."""
    return write_files(
        small_openke(folder),
        {
            "fb-entity2text-new.txt": "/m/a\tAda -- She reads.\n/m/c\tCity\n/m/z\tCity -- Another.\n/m/b\tBo\n",
            "entity2text.txt": "/m/z\tshort z\n/m/c\tshort c\n/m/a\tshort a\n",
            "relation2text.txt": "/r/two\tsecond\n/r/other\tnot here\n/r/one\tfirst\n",
        },
    )


def test_openke_folders_keep_the_texts_of_mkgformer_in_line_order(tmp_path):
    dataset = read_dataset(openke_with_texts(tmp_path))
    assert list(dataset.graph.entities) == ["Ada", "Bo", "City"]
    assert list(dataset.entity_texts.items()) == [("City (/m/z)", "short z"), ("City", "short c"), ("Ada", "short a")]
    assert list(dataset.relation_texts.items()) == [("/r/two", "second"), ("/r/one", "first")]
    assert dataset.descriptions == {"Ada": "She reads."}
    assert dataset.source_ids == {"Ada": "/m/a", "Bo": "/m/b", "City": "/m/c", "City (/m/z)": "/m/z"}


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_in_text_order_every_line_is_a_candidate_and_triples_without_text_go(tmp_path):
    dataset = read_dataset(openke_with_texts(tmp_path))
    vectors = np.array([[1], [2], [3]], np.float32)
    dataset = dataclasses.replace(dataset, features={"visual": Features(vectors, np.array([True, True, False]))})
    # Triples of the OpenKE folder: (a, two, b), (b, one, c); valid (a, two, c).
    with pytest.raises(DataError, match="no training triple has a text"):
        in_text_order(dataset)
    texts = {**dataset.entity_texts, "Bo": "short b"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ordered = in_text_order(dataclasses.replace(dataset, entity_texts=texts))
    assert list(ordered.graph.entities) == ["City (/m/z)", "City", "Ada", "Bo"]
    assert ordered.graph.relations == dataset.graph.relations
    assert ordered.graph.train.tolist() == [[2, 1, 3], [3, 0, 1]]
    assert ordered.features["visual"].vectors.ravel().tolist() == [0, 3, 1, 2]
    assert ordered.features["visual"].present.tolist() == [False, False, True, True]
    with pytest.warns(UserWarning, match="train: 1 of 2 triples have an id without a text"):
        only_one = in_text_order(dataclasses.replace(dataset, entity_texts=texts, relation_texts={"/r/one": "x"}))
    assert only_one.graph.train.tolist() == [[3, 0, 1]]


def test_without_entity_texts_the_data_set_comes_back_as_it_is():
    dataset = small_dataset()
    assert in_text_order(dataset) is dataset


def test_what_was_read_survives_our_own_layout(tmp_path):
    for make in (openke_with_texts, small_mkgformer):
        dataset = read_dataset(make(tmp_path / "in" / make.__name__))
        write_dataset(dataset, tmp_path / "out" / make.__name__)
        assert same_dataset(read_dataset(tmp_path / "out" / make.__name__), dataset)


def test_one_picture_is_whole_three_are_middling_and_three_small():
    paths = [Path(f"{k}.png") for k in range(10)]
    assert choose_images([]) == SentenceImages()
    assert choose_images(paths[:3]) == SentenceImages(paths[0], (paths[1], paths[2]))
    assert choose_images(paths[:7]) == SentenceImages(paths[0], tuple(paths[1:4]), tuple(paths[4:7]))
    random.seed(1)
    sample = random.sample(paths, 7)
    assert (
        choose_images(paths) == choose_images(paths) == SentenceImages(sample[0], tuple(sample[1:4]), tuple(sample[4:]))
    )


@pytest.mark.parametrize(
    ("name", "entities", "candidates", "relations", "train"),
    [("FB15k-237", 14_541, 14_951, 237, 272_115), ("WN18", 40_943, 40_943, 18, 141_442)],
)
def test_the_public_graphs_have_their_candidates_in_line_order(name, entities, candidates, relations, train):
    dataset = read_dataset(real(name))
    lines = lzma.decompress((real(name) / "entity2text.txt.xz").read_bytes()).decode().splitlines()
    assert len(dataset.graph.entities) == entities
    assert len(dataset.entity_texts) == candidates == len(lines)
    assert len(dataset.relation_texts) == relations
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ordered = in_text_order(dataset)
    assert len(ordered.graph.train) == train
    names = [f"{ordered.source_ids.get(label, label)}\t{text}" for label, text in ordered.entity_texts.items()]
    assert names == lines
    assert list(ordered.graph.entities) == list(dataset.entity_texts)
    for row in (0, train // 2, train - 1):
        before, after = dataset.graph.train[row], ordered.graph.train[row]
        assert dataset.graph.entities[before[0]] == ordered.graph.entities[after[0]]
        assert dataset.graph.entities[before[2]] == ordered.graph.entities[after[2]]
