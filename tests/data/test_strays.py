"""Folders of graphs with what systems leave in them: no reader takes it for data."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from mmkg_sdk.data import open_data, read_dataset
from mmkg_sdk.data.entity_images import find_entity_images
from mmkg_sdk.errors import DataError
from mmkg_sdk.modalities.images import read_colours
from mmkg_sdk.modalities.pictures import rgb_picture

from .folders import small_mygo, small_openke, write_files

STRAYS = {".DS_Store": b"\0", "Thumbs.db": b"\0", "desktop.ini": b"\0"}


@pytest.fixture
def graph(tmp_path):
    folder = small_mygo(tmp_path / "graph")
    images = folder / "images"
    for entity in ("A", "B", "__MACOSX"):
        write_files(images / entity, {"0.jpg": b"", "._0.jpg": b"\0", "._1.jpg": b"\0", **STRAYS})
    write_files(images, {"C.png": b"", "._C.png": b"\0", "._D.png": b"\0", **STRAYS})
    return folder


def test_the_main_image_of_an_entity_is_no_stray(graph):
    images = graph / "images"
    expected = {"A": [images / "A" / "0.jpg"], "B": [images / "B" / "0.jpg"], "C": [images / "C.png"]}
    assert open_data(graph).images == expected
    assert find_entity_images(images, read_dataset(graph)) == expected


def test_a_pipe_is_no_image(graph):
    (graph / "images" / "A" / "0.jpg").unlink()
    os.mkfifo(graph / "images" / "A" / "0.jpg")
    assert list(open_data(graph).images) == ["B", "C"]


def test_a_pipe_that_is_named_is_not_waited_for(tmp_path):
    pytest.importorskip("PIL.Image", reason="images need pillow")
    os.mkfifo(tmp_path / "a.jpg")
    with pytest.raises(ValueError, match="a pipe and no file"):
        rgb_picture(tmp_path / "a.jpg")
    with pytest.raises(DataError, match=r"a.jpg cannot be read: .*a pipe and no file"):
        read_colours(tmp_path / "a.jpg", 8)


def test_strays_are_no_tokens_features_or_texts(tmp_path):
    torch = pytest.importorskip("torch", reason="codebooks and features of the authors are torch files")
    folder = small_openke(tmp_path)
    for name in ("x-visual.json", "x-textual.pth", "fb-entity2text-new.txt", "x-textual-v2.json.zip"):
        write_files(folder, {f"._{name}": b"\0"})
    write_files(folder, {"x-visual.json": json.dumps({"/m/a": [1]}), "fb-entity2text-new.txt": "/m/a\tAda -- A.\n"})
    torch.save(torch.ones(5, 2), folder / "visual.pth")
    torch.save(torch.ones(3, 2), folder / "x-textual.pth")
    dataset = open_data(folder)
    assert list(dataset.graph.entities) == ["Ada", "/m/b", "/m/c"]
    assert dataset.tokens["visual"].lists == {"Ada": [1]}
    assert np.array_equal(dataset.features["text"].vectors, np.ones((3, 2)))


def test_a_folder_of_strays_holds_nothing(tmp_path):
    with pytest.raises(DataError, match="Found no file"):
        open_data(write_files(tmp_path, STRAYS | {"._train.txt": b"\0"}))


def test_half_a_surrogate_pair_in_a_file_of_tokens_is_named(tmp_path):
    torch = pytest.importorskip("torch", reason="codebooks of the authors are torch files")
    folder = write_files(small_mygo(tmp_path), {"x-visual.json": '{"A": [1], "\\ud83c": [2]}'})
    torch.save(torch.ones(5, 2), folder / "visual.pth")
    with pytest.raises(DataError, match=r"x-visual.json: key '\\ud83c' holds half of a surrogate pair"):
        read_dataset(folder)
