"""Tensors written piece by piece and read as memory maps, against the safetensors package."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from mmkg_sdk.files.tensors import map_tensors, scratch_array, write_tensors

ARRAYS = {
    "halves": np.arange(12, dtype=np.float16).reshape(3, 4),
    "turned": np.arange(12, dtype=np.float32).reshape(3, 4).T,
    "every second": np.arange(20, dtype=np.int64)[::2],
    "mask": np.array([True, False, True]),
    "bytes": np.arange(5, dtype=np.uint8),
    "nothing": np.zeros((0, 4), np.float32),
    "none of many": np.zeros((3, 0), np.int64),
    "number": np.float64(2.5),
    "big end first": np.arange(4, dtype=">i4"),
}


@pytest.mark.parametrize("names", [list(ARRAYS), [], ["mask"], ["nothing"]])
def test_what_is_written_is_what_the_package_and_the_maps_read(names: list[str], tmp_path: Path) -> None:
    path = tmp_path / "tensors.safetensors"
    chosen = {name: np.asarray(ARRAYS[name]) for name in names}
    with path.open("wb") as file:
        write_tensors(file, chosen)
    for found in (load_file(path), map_tensors(path)):
        assert sorted(found) == sorted(names)
        for name, array in chosen.items():
            assert found[name].shape == array.shape
            np.testing.assert_array_equal(found[name], array)


def test_maps_read_what_the_package_wrote_and_cannot_be_written(tmp_path: Path) -> None:
    arrays = {"odd": np.arange(3, dtype=np.uint8), "a": np.random.default_rng(0).standard_normal((5, 7))}
    save_file(arrays, tmp_path / "file", metadata={"made": "by hand"})
    found = map_tensors(tmp_path / "file")
    np.testing.assert_array_equal(found["a"], arrays["a"])
    with pytest.raises(ValueError, match="read-only"):
        found["a"][0] = 0


def test_a_damaged_file_is_refused_before_anything_is_mapped(tmp_path: Path) -> None:
    save_file({"a": np.zeros(100)}, tmp_path / "file")
    data = (tmp_path / "file").read_bytes()
    for bad in (data[:-1], data + b"x", data[:20], b"", b"\xff" * 100):
        (tmp_path / "file").write_bytes(bad)
        with pytest.raises(SafetensorError):
            map_tensors(tmp_path / "file")


def test_a_scratch_array_can_be_written_and_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    array = scratch_array((4, 3), "float16")
    array[2] = 1
    assert array.sum() == 3
    assert list(tmp_path.iterdir()) == []
    assert scratch_array((0, 3), "u1").shape == (0, 3)
