"""Writing and reading again gives the same data set; nothing half-written stays."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mmkg_sdk.data import read_dataset, write_dataset
from mmkg_sdk.data.graph import DataSet, KnowledgeGraph, RawTokens
from mmkg_sdk.errors import DataError
from mmkg_sdk.files.labels import Labels

from .folders import same_dataset, small_dataset

plain_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
label = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r\t"), min_size=1, max_size=8).filter(
    lambda text: not text.startswith("\ufeff")
)


@st.composite
def raw_tokens(draw, names):
    lists = draw(st.dictionaries(st.sampled_from(names), st.lists(st.integers(0, 50), max_size=5)))
    floats = st.floats(-1e6, 1e6, width=32)
    codebook = draw(hnp.arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 3)), elements=floats))
    return RawTokens(lists, codebook, draw(st.integers(0, 60)), draw(st.integers(0, 3)), draw(plain_text))


@st.composite
def datasets(draw):
    entities = draw(st.lists(label, min_size=1, max_size=6, unique=True))
    relations = draw(st.lists(label, min_size=1, max_size=3, unique=True))
    triple = st.tuples(
        st.integers(0, len(entities) - 1),
        st.integers(0, len(relations) - 1),
        st.integers(0, len(entities) - 1),
    )
    splits = [
        np.array(draw(st.lists(triple, min_size=least, max_size=5, unique=True)), np.int64).reshape(-1, 3)
        for least in (1, 0, 0)
    ]
    graph = KnowledgeGraph("name", Labels(entities), Labels(relations, kind="relation"), *splits)
    return DataSet(
        graph,
        draw(st.dictionaries(st.sampled_from(["visual", "text", "german", "b1"]), raw_tokens(entities))),
        descriptions=draw(st.dictionaries(st.sampled_from(entities), plain_text)),
    )


@settings(deadline=None)  # every file is flushed to the disk, which others may be using
@given(datasets())
def test_reading_what_was_written_gives_the_same_data_set(dataset):
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "name"
        write_dataset(dataset, folder)
        assert same_dataset(read_dataset(folder), dataset)


def test_a_folder_with_content_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="exists already"):
        write_dataset(small_dataset(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_empty_folder_is_filled(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    write_dataset(small_dataset(), folder)
    assert same_dataset(read_dataset(folder), small_dataset())


@pytest.mark.parametrize("bad", ["a\tb", "\ufeffa", "a\ud800"])
def test_a_label_that_no_text_file_can_hold_is_refused_and_nothing_is_left(tmp_path, bad):
    graph = dataclasses.replace(small_dataset().graph, entities=Labels(["x", bad, "y"]))
    with pytest.raises(DataError, match="cannot stand in a text file"):
        write_dataset(DataSet(graph), tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_failure_while_writing_leaves_nothing_behind(tmp_path):
    tokens = RawTokens({"Nowhere": [0]}, np.ones((1, 1), np.float32), 1, 0)
    with pytest.raises(DataError, match="'Nowhere', which is no entity"):
        write_dataset(dataclasses.replace(small_dataset(), tokens={"text": tokens}), tmp_path / "out")
    assert not list(tmp_path.iterdir())
    with pytest.raises(DataError, match="cannot be written as UTF-8"):
        write_dataset(dataclasses.replace(small_dataset(), descriptions={"Oslo": "\ud800"}), tmp_path / "out")
    assert not list(tmp_path.iterdir())
