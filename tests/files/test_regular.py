"""What is no regular file is refused at once, and what is too large before it is in memory."""

from __future__ import annotations

import gzip
import lzma
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mmkg_sdk.errors import DataError, ExportError
from mmkg_sdk.export.importing import _read_arrays
from mmkg_sdk.files.labels import read_labels
from mmkg_sdk.files.regular import LIMIT, most_bytes
from mmkg_sdk.files.strict_json import read_json_object
from mmkg_sdk.files.text import find_file, read_bytes, read_lines, read_start, read_text
from mmkg_sdk.modalities.images import read_colours
from tests.places import ROOT

READERS: dict[str, Callable[[Path], object]] = {
    "text": read_text,
    "start": read_start,
    "JSON": read_json_object,
    "labels": read_labels,
    "image": lambda path: read_colours(path, 8),
    "arrays": _read_arrays,
}
every_reader = pytest.mark.parametrize("read", READERS.values(), ids=READERS)


def pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


def folder(path: Path) -> Path:
    path.mkdir()
    return path


NO_FILES: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "a pipe": ("a pipe and no file", pipe),
    "a device": ("a device and no file", lambda path: Path("/dev/zero")),
    "a folder": ("Is a directory", folder),
    "a link to nothing": ("No such file", lambda path: path.symlink_to("gone") or path),  # type: ignore[func-returns-value]
}


@every_reader
@pytest.mark.parametrize(("found", "make"), NO_FILES.values(), ids=NO_FILES)
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a system with pipes as files")
def test_what_is_no_file_is_refused_and_not_waited_for(
    tmp_path: Path, read: Callable[[Path], object], found: str, make: Callable[[Path], Path]
) -> None:
    path = make(tmp_path / "data.png")
    with pytest.raises((DataError, ExportError), match=found) as refused:
        read(path)
    assert str(path) in str(refused.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a system with pipes as files")
@pytest.mark.parametrize("make", [pipe, folder, NO_FILES["a link to nothing"][1]], ids=["pipe", "folder", "link"])
def test_a_data_file_that_is_no_file_is_not_taken_for_an_absent_one(
    tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    make(tmp_path / "descriptions.tsv")
    with pytest.raises(DataError, match=r"descriptions\.tsv is no regular file"):
        find_file(tmp_path, "descriptions.tsv")
    assert find_file(tmp_path, "entities.txt") is None


def test_a_link_to_a_file_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("a\nb\n")
    (tmp_path / "link").symlink_to("there")
    assert read_lines(tmp_path / "link") == ["a", "b"]


@every_reader
def test_a_file_of_ten_gigabytes_is_refused_by_its_size(tmp_path: Path, read: Callable[[Path], object]) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(10 * 10**9)
    with pytest.raises((DataError, ExportError), match=rf"holds more than 1,073,741,824 bytes.*{LIMIT}=10000000000"):
        read(path)


@pytest.mark.parametrize("packed", [lzma.compress(bytes(1 << 24)), gzip.compress(bytes(1 << 24))], ids=["xz", "gz"])
def test_a_bomb_is_refused_before_it_is_in_memory(tmp_path: Path, packed: bytes) -> None:
    """128 MiB of zeros in a few kilobytes; a limit of 8 MiB."""
    path = tmp_path / ("bomb.xz" if packed.startswith(b"\xfd7z") else "bomb.gz")
    path.write_bytes(8 * packed)
    program = (
        "import resource, sys, pathlib\nfrom mmkg_sdk.errors import DataError\n"
        "from mmkg_sdk.files.text import read_text\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10\nbefore = peak()\n"
        "try: read_text(pathlib.Path(sys.argv[1]))\n"
        "except DataError as err: print(peak() - before, err)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        env=os.environ | {"PYTHONPATH": str(ROOT), LIMIT: str(1 << 23)},
        capture_output=True,
        text=True,
        check=True,
    )
    taken, _, message = done.stdout.partition(" ")
    assert "holds more than 8,388,608 bytes" in message
    assert int(taken) < 24, "MiB"


def test_the_limit_is_exact_and_can_be_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert most_bytes() == 1 << 30
    monkeypatch.setenv(LIMIT, "10")
    for name, content in (("plain", bytes(10)), ("packed.gz", gzip.compress(b""))):
        (tmp_path / name).write_bytes(content)
    assert read_bytes(tmp_path / "plain") == bytes(10)
    (tmp_path / "plain").write_bytes(bytes(11))
    with pytest.raises(DataError, match="holds more than 10 bytes"):
        read_bytes(tmp_path / "plain")


@pytest.mark.parametrize("value", ["0", "-1", "1G", "1.5", "²", " "])
def test_a_limit_that_is_no_number_of_bytes_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LIMIT, value)
    with pytest.raises(DataError, match=f"{LIMIT} is .*expected a number of bytes, such as 1073741824"):
        most_bytes()


def test_arrays_that_unpack_to_more_than_the_limit_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(tmp_path / "arrays.npz", zeros=np.zeros(1 << 20))
    monkeypatch.setenv(LIMIT, str(1 << 20))
    with pytest.raises(DataError, match="holds more than 1,048,576 bytes"):
        _read_arrays(tmp_path / "arrays.npz")


def test_an_array_whose_header_asks_for_more_than_memory_is_refused(tmp_path: Path) -> None:
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (4611686018427387, ), }"
    header += b" " * (117 - len(header)) + b"\n"
    with zipfile.ZipFile(tmp_path / "arrays.npz", "w") as file:
        file.writestr("a.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    with pytest.raises(ExportError, match="is not an"):
        _read_arrays(tmp_path / "arrays.npz")
