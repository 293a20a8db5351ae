"""Where the files of a bundle may lie: caches and package managers put links in their places."""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
from pathlib import Path

import pytest

import mmkg_sdk
from mmkg_sdk import BundleError
from mmkg_sdk.answering.verification import verify_bundle
from mmkg_sdk.bundle import Bundle, read_manifest


def answer(folder: Path, **options: bool) -> list[str]:
    with mmkg_sdk.load(folder, "onnxruntime", "cpu", threads=1, **options) as model:
        return list(model.predict_tails(0, 0, k=3)[0].labels)


def hub_cache(bundle: Path, root: Path, inner: str = "") -> Path:
    """As huggingface_hub lays a repository out: the files of a snapshot are links to blobs named by their hash."""
    folder = root / "models--someone--atlas" / "snapshots" / "0a1b2c" / inner
    blobs = root / "models--someone--atlas" / "blobs"
    folder.mkdir(parents=True)
    blobs.mkdir()
    for path in bundle.iterdir():
        blob = blobs / hashlib.sha256(path.read_bytes()).hexdigest()
        shutil.copy(path, blob)
        (folder / path.name).symlink_to(os.path.relpath(blob, folder))
    return folder


@pytest.mark.parametrize("inner", ["", "fp32", "all/fp32"])
def test_a_snapshot_of_a_hub_cache_is_opened(inner: str, golden_bundle: Path, tmp_path: Path) -> None:
    folder = hub_cache(golden_bundle, tmp_path, inner)
    assert answer(folder) == answer(golden_bundle)
    assert verify_bundle(folder, backend="onnxruntime", device="cpu")["passed"]


def test_hard_links_as_uv_and_conda_make_them_are_opened(golden_bundle: Path, tmp_path: Path) -> None:
    shutil.copytree(golden_bundle, tmp_path / "cache")
    shutil.copytree(tmp_path / "cache", tmp_path / "bundle", copy_function=os.link)
    assert answer(tmp_path / "bundle") == answer(golden_bundle)


def test_a_mounted_config_map_is_opened(golden_bundle: Path, tmp_path: Path) -> None:
    """Kubernetes: NAME -> ..data/NAME, and ..data -> a folder named by the time, all in the mounted folder."""
    folder = tmp_path / "bundle"
    shutil.copytree(golden_bundle, folder / "..2026_11_28")
    (folder / "..data").symlink_to("..2026_11_28")
    for path in golden_bundle.iterdir():
        (folder / path.name).symlink_to(Path("..data") / path.name)
    assert answer(folder) == answer(golden_bundle)


def test_a_link_to_another_place_is_followed_where_the_caller_says_so(golden_bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    folder.mkdir()
    for path in golden_bundle.iterdir():
        (folder / path.name).symlink_to(path)
    for opened in (mmkg_sdk.load, Bundle.open, read_manifest, verify_bundle, mmkg_sdk.Model.load):
        with pytest.raises(BundleError, match=r"is a link out of its folder, to .*follow_links=True, or copy"):
            opened(folder)
    assert answer(folder, follow_links=True) == answer(golden_bundle)
    assert verify_bundle(folder, backend="onnxruntime", device="cpu", follow_links=True)["passed"]
    with mmkg_sdk.Model.load(folder, "onnxruntime", "cpu", threads=1, follow_links=True) as model:
        again = pickle.loads(pickle.dumps(model))  # opens it in the same way
        assert list(again.entities) == list(model.entities)


@pytest.mark.parametrize("target", ["fifo", "/dev/zero", "/dev/null"])
def test_pipes_and_devices_are_refused_behind_a_link_as_well(target: str, golden_bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(golden_bundle, folder)
    os.mkfifo(tmp_path / "fifo")
    (folder / "table.safetensors").unlink()
    (folder / "table.safetensors").symlink_to(tmp_path / target)
    with pytest.raises(BundleError, match="is not a plain file"):
        Bundle.open(folder, follow_links=True)


def test_a_link_to_nothing_and_one_to_itself_are_named(golden_bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(golden_bundle, folder)
    for target, reason in (("absent", "No such file"), ("entities.txt", "symbolic links")):
        (folder / "entities.txt").unlink()
        (folder / "entities.txt").symlink_to(target)
        with pytest.raises(BundleError, match=rf"entities\.txt cannot be opened as a plain file \(.*{reason}"):
            Bundle.open(folder, follow_links=True)


@pytest.mark.parametrize("backend", ["auto", "onnxruntime", "torch"])
def test_what_was_verified_is_what_is_read_whatever_lies_there_by_then(
    backend: str, golden_bundle: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(golden_bundle, folder)
    bundle = Bundle.open(folder)
    for path in list(folder.iterdir()):
        path.unlink()
        path.write_bytes(b"of another model")
    from mmkg_sdk.answering.opening import answerer_class
    from mmkg_sdk.backends import open_backend

    opened = answerer_class(bundle)(bundle, open_backend(bundle, backend, "cpu", 1), compiled=backend == "auto")
    assert list(opened.predict_tails(0, 0, k=3)[0].labels) == answer(golden_bundle)
    opened.close()
