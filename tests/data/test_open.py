"""open_dataset: the embedded data set, a fetched name, a folder."""

from __future__ import annotations

import pytest

from mmkg_sdk.data import open_dataset, write_dataset
from mmkg_sdk.data.folders import cache_folder
from mmkg_sdk.errors import DataError

from .folders import same_dataset, small_dataset


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
    assert dataset.visual is not None
    assert dataset.text is not None
    assert len(dataset.text.lists) > len(dataset.graph.entities) / 4
    assert len(dataset.visual.lists) > 0


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
    with pytest.raises(DataError, match=r"neither a folder nor a known data set \(atlas, db15k, mkg-w, mkg-y\)"):
        open_dataset("atlantis", cache=tmp_path)


def test_a_public_name_that_was_not_fetched_says_how(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="mmkg-sdk data fetch db15k"):
        open_dataset("db15k", cache=tmp_path)


def test_the_cache_follows_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("MMKG_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
    monkeypatch.delenv("MMKG_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "mmkg_sdk"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder().parts[-2:] == (".cache", "mmkg_sdk")
