"""open_data and open_dataset: embedded data, a fetched name, a folder; and how the kind of data is told."""

from __future__ import annotations

import pytest

from mmkg_sdk.data import DataSet, LinkingData, RelationData, TaggingData, open_data, open_dataset, write_dataset
from mmkg_sdk.data.layouts.kinds import find_kind
from mmkg_sdk.errors import DataError
from tests.places import REAL_DATA

from .folders import (
    own_linking,
    own_relations,
    own_tags,
    same_dataset,
    small_dataset,
    small_mnre,
    small_mygo,
    small_openke,
    small_twitter,
    write_files,
)


@pytest.fixture(scope="module")
def atlas_cache(tmp_path_factory):
    pytest.importorskip("PIL", reason="the atlas draws its images with pillow")
    pytest.importorskip("sklearn", reason="the learned tokenizers need scikit-learn")
    cache = tmp_path_factory.mktemp("cache")
    open_dataset("atlas", cache=cache)
    return cache


def test_the_atlas_has_triples_and_both_modalities(atlas_cache):
    dataset = open_dataset("atlas", cache=atlas_cache)
    assert dataset.graph.name == "atlas"
    assert min(len(dataset.graph.train), len(dataset.graph.valid), len(dataset.graph.test)) > 0
    assert "visual" in dataset.tokens
    assert "text" in dataset.tokens
    assert len(dataset.tokens["text"].lists) > len(dataset.graph.entities) / 4
    assert len(dataset.tokens["visual"].lists) > 0


def test_the_atlas_is_tokenized_once(atlas_cache):
    files = sorted(path for path in atlas_cache.rglob("*") if path.is_file())
    times = [path.stat().st_mtime_ns for path in files]
    open_dataset("atlas", cache=atlas_cache)
    assert [path.stat().st_mtime_ns for path in files] == times
    assert files == sorted(path for path in atlas_cache.rglob("*") if path.is_file())


def test_two_caches_hold_the_same_atlas(atlas_cache, tmp_path):
    assert same_dataset(open_dataset("atlas", cache=atlas_cache), open_dataset("atlas", cache=tmp_path))


def test_a_folder_is_read(tmp_path):
    write_dataset(small_dataset(), tmp_path / "small")
    assert same_dataset(open_dataset(str(tmp_path / "small")), small_dataset())


def test_an_unknown_source_lists_what_there_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"neither a folder nor a known data set \(atlas, atlas-mentions, .*mkg-y\)"):
        open_dataset("atlantis", cache=tmp_path)


def test_a_public_name_that_was_not_fetched_says_how(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="mmkg-sdk data fetch db15k"):
        open_dataset("db15k", cache=tmp_path)


KINDS = {
    LinkingData: "mentions and entities",
    RelationData: "sentences with relations",
    TaggingData: "sentences with tags",
}


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (small_mygo, DataSet),
        (small_openke, DataSet),
        (own_linking, LinkingData),
        (own_relations, RelationData),
        (small_mnre, RelationData),
        (own_tags, TaggingData),
        (small_twitter, TaggingData),
    ],
)
def test_a_folder_is_opened_as_what_it_holds(tmp_path, make, kind):
    folder = make(tmp_path / "set")
    assert type(open_data(folder)) is kind
    if kind is DataSet:
        assert same_dataset(open_dataset(folder), open_data(folder))
    else:
        with pytest.raises(DataError, match=f"set holds {KINDS[kind]}, expected a knowledge graph"):
            open_dataset(folder)


def test_a_graph_whose_first_label_starts_with_a_brace_is_a_graph(tmp_path):
    files = {"train.txt": "{x}\tr\ty\n", "valid.txt": "", "test.txt": ""}
    assert open_data(write_files(tmp_path, files)).graph.entities[0] == "{x}"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("DB15K", "link-prediction"),
        ("FB15k-237", "link-prediction"),
        ("WN18", "link-prediction"),
        ("WikiMEL", "entity-linking"),
        ("RichpediaMEL", "entity-linking"),
        ("WikiDiverse", "entity-linking"),
        ("MNRE", "relation-extraction"),
        ("Twitter-2017", "entity-recognition"),
    ],
)
def test_public_folders_are_recognised(name, kind):
    if not (REAL_DATA / name).is_dir():
        pytest.skip(f"the real data set {name} is not on this machine")
    assert find_kind(REAL_DATA / name) == kind


def test_a_folder_of_nothing_known_says_what_it_found_and_what_was_expected(tmp_path):
    with pytest.raises(DataError, match=r"Found no file. Expected link-prediction: train.txt, .*; entity-linking: "):
        open_data(tmp_path)
    write_files(tmp_path, {f"file{k}.csv": "" for k in range(10)})
    with pytest.raises(DataError, match=r"Found file0.csv, .* and 2 more"):
        open_data(tmp_path)
    with pytest.raises(DataError, match=r"file0.csv' is neither a folder nor a known data set"):
        open_data(tmp_path / "file0.csv")


def test_a_folder_of_two_kinds_is_an_error(tmp_path):
    own_tags(own_relations(tmp_path))
    with pytest.raises(DataError, match=r"relation-extraction \(relations-train.jsonl\); entity-recognition \(tags-"):
        open_data(tmp_path)


def test_options_of_another_kind_are_refused(tmp_path):
    with pytest.raises(DataError, match="holds data for entity-linking; visual= goes with a knowledge graph"):
        open_data(own_linking(tmp_path / "mentions"), visual="beit")
    with pytest.raises(DataError, match="holds a knowledge graph; images= goes with mentions"):
        open_data(small_mygo(tmp_path / "graph"), images=tmp_path)


def test_pictures_elsewhere_reach_the_reader(tmp_path):
    folder = own_linking(tmp_path / "set")
    (folder / "images").rename(tmp_path / "images")
    assert open_data(folder, images=tmp_path).images[1] == tmp_path / "images" / "state.png"


@pytest.mark.parametrize(
    ("name", "kind"),
    [("atlas-mentions", LinkingData), ("atlas-relations", RelationData), ("atlas-tags", TaggingData)],
)
def test_embedded_sentences_are_written_once(tmp_path, name, kind):
    pytest.importorskip("PIL", reason="the atlas draws its images with pillow")
    data = open_data(name, cache=tmp_path)
    assert type(data) is kind
    assert data.name == name
    assert min(len(data.split(split)) for split in ("train", "valid", "test")) > 0
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert open_data(name, cache=tmp_path) == data
    assert files == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
