"""Every hostile bundle is stopped by a BundleError that says why, before anything of it is used."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mmkg_sdk
from mmkg_sdk import BundleError
from mmkg_sdk.bundle import Bundle
from tests.attacks import content_attacks, manifest_attacks
from tests.attacks.reseal import reseal


@pytest.fixture
def copy(golden_bundle: Path, tmp_path: Path) -> Path:
    shutil.copytree(golden_bundle, tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.mark.parametrize(
    ("spoil", "message"), manifest_attacks.ATTACKS, ids=[spoil.__name__ for spoil, _ in manifest_attacks.ATTACKS]
)
def test_a_hostile_manifest_or_folder_is_refused(spoil: Callable[[Path], None], message: str, copy: Path) -> None:
    spoil(copy)
    with pytest.raises(BundleError, match=message):
        Bundle.open(copy)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [attack[1:] for attack in content_attacks.ATTACKS],
    ids=[attack[0] for attack in content_attacks.ATTACKS],
)
def test_hostile_content_is_refused_though_its_digest_is_right(
    spoil: Callable[[Path], Any], message: str, copy: Path
) -> None:
    spoil(copy)
    reseal(copy)
    with pytest.raises(BundleError, match=message):
        Bundle.open(copy)


def test_one_flipped_bit_in_any_file_is_noticed(copy: Path) -> None:
    Bundle.open(copy)
    for path in sorted(copy.iterdir()):
        if path.name == "bundle.json":
            continue
        good = path.read_bytes()
        for place in (0, len(good) // 2, len(good) - 1):
            bad = bytearray(good)
            bad[place] ^= 1 << place % 8
            path.write_bytes(bad)
            with pytest.raises(BundleError, match=rf"{path.name} was changed: its SHA-256 is \w{{64}}, .* \w{{64}}"):
                Bundle.open(copy)
        path.write_bytes(good)
    Bundle.open(copy)


def test_an_extra_file_is_never_opened(copy: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(copy.parent / "exploded"),)

    for name in ("weights.pt", "model.pkl", "table.npy", "extra.onnx"):
        (copy / name).write_bytes(pickle.dumps(Bomb()))
    os.mkfifo(copy / "pipe")  # opening it would hang
    for backend in ("onnxruntime", "torch"):
        with mmkg_sdk.load(copy, backend, "cpu") as model:
            model.predict_tails(0, 0)
            model.encode_entities(visual_tokens=[[0]], text_tokens=[[0]])
    assert not (copy.parent / "exploded").exists()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("absent", "No such file or directory. Pass the folder that `mmkg-sdk export` wrote"),
        ("file", "is a file; a bundle is a folder"),
        ("file/below", "Not a directory"),
        ("x" * 300, "File name too long"),
        ("nul\0inside", "null"),
        ("loop", "symbolic links"),
    ],
)
def test_what_is_no_folder_is_named_with_the_reason(path: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(BundleError, match=message):
        mmkg_sdk.load(tmp_path / path)


def test_a_folder_that_may_not_be_read_is_named(copy: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    copy.chmod(0)
    try:
        with pytest.raises(BundleError, match="Permission denied"):
            Bundle.open(copy)
    finally:
        copy.chmod(0o755)


@pytest.mark.parametrize("name", ["with space", "øre-日本-😀", "n" * 255, "-dash", "it's; $(odd)"])
def test_a_bundle_works_under_any_folder_name(name: str, copy: Path) -> None:
    folder = copy.rename(copy.with_name(name))
    for backend in ("onnxruntime", "torch"):
        with mmkg_sdk.load(folder, backend, "cpu") as model:
            assert len(model.predict_tails(0, 0, k=3)[0]) == 3


def test_a_relative_path_and_the_home_shortcut_work(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(copy.parent)
    monkeypatch.setenv("HOME", str(copy.parent))
    for path in ("bundle", "./bundle/", "~/bundle", Path("~/bundle")):
        with mmkg_sdk.load(path, "onnxruntime", "cpu") as model:
            assert len(model.predict_tails(0, 0, k=3)[0]) == 3


def test_unusual_but_valid_labels_are_accepted(copy: Path) -> None:
    names = ["עברית", "a\u202eb", "😀", " lead", "tab\tin", "line\u2028sep", "z" * 10_000, "0"]
    names += [f"entity {i}" for i in range(len(names), 40)]
    (copy / "entities.txt").write_bytes("\n".join(names).encode())
    reseal(copy)
    with mmkg_sdk.load(copy, "onnxruntime", "cpu") as model:
        assert list(model.entities) == names
        assert model.predict_tails("😀", 0, k=1)[0].query == "(😀, relation 0, ?)"
