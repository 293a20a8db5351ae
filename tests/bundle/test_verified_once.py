"""Hash trees, and records of what was verified: nothing changed is believed, and nothing unchanged is read again."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mmkg_sdk import BundleError
from mmkg_sdk.answering.verification import verify_bundle
from mmkg_sdk.bundle import Bundle, bundle, files, hashes, verified_once
from mmkg_sdk.bundle.hashes import check_hashes, file_entry
from tests.attacks.reseal import change_manifest

TABLE = "table.safetensors"


@pytest.mark.parametrize("size", [0, 1, 100, 101, 250, 300])
def test_a_tree_is_the_hash_of_the_hashes_of_its_parts(
    size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashes, "TREE_CHUNK", 100)
    content = bytes(range(256)) * 2
    (tmp_path / "file").write_bytes(content[:size])
    entry = file_entry(tmp_path / "file")
    assert (entry["sha256"], entry["bytes"]) == (hashlib.sha256(content[:size]).hexdigest(), size)
    parts = [hashlib.sha256(content[:size][start : start + 100]).digest() for start in range(0, size, 100)]
    assert entry.get("sha256_tree") == (hashlib.sha256(b"".join(parts)).hexdigest() if size > 100 else None)
    for all_of in (False, True):
        check_hashes(tmp_path, {"file": memoryview(content[:size])}, {"file": entry}, all_of=all_of)
    if size > 100:
        wrong = {"file": memoryview(content[: size - 1] + b"?")}
        with pytest.raises(BundleError, match=r"file was changed: its SHA-256 tree is \w{64}"):
            check_hashes(tmp_path, wrong, {"file": entry}, all_of=False)
        other = {"file": entry | {"sha256": "0" * 64}}
        check_hashes(tmp_path, {"file": memoryview(content[:size])}, other, all_of=False)
        with pytest.raises(BundleError, match="file was changed: its SHA-256 is"):
            check_hashes(tmp_path, {"file": memoryview(content[:size])}, other, all_of=True)


@pytest.fixture
def copy(golden_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle whose files all count as large and were written long ago, and a cache of its own."""
    monkeypatch.setenv("MMKG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(files, "_LARGE_BYTES", 0)
    monkeypatch.setattr(verified_once, "_SETTLED_NS", 0)
    monkeypatch.setattr(verified_once, "_are_stable", lambda _: True)
    return Path(shutil.copytree(golden_bundle, tmp_path / "bundle"))


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """The files that each opening hashed."""
    found: list[set[str]] = []

    def noted(folder: Path, content: dict[str, memoryview], *arguments: object, **settings: bool) -> None:
        found.append(set(content))
        check_hashes(folder, content, *arguments, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(bundle, "check_hashes", noted)
    return found


def records(folder: Path) -> list[str]:
    return os.listdir(folder.parent / "cache" / "verified")


def test_what_was_verified_is_not_hashed_again(copy: Path, hashed: list[set[str]]) -> None:
    first, again = Bundle.open(copy), Bundle.open(copy)
    assert hashed == [set(first.files), set()]
    np.testing.assert_array_equal(again.table, first.table)
    assert again.entities == first.entities
    Bundle.open(copy, hash_always=True)
    verify_bundle(copy, device="cpu")
    assert hashed[2:] == [set(first.files)] * 2
    assert (copy.parent / "cache" / "verified").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("value", ["off", "0"])
def test_records_can_be_turned_off(
    value: str, copy: Path, hashed: list[set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    Bundle.open(copy)
    monkeypatch.setenv("MMKG_VERIFIED_RECORDS", value)
    everything = set(Bundle.open(copy).files)
    assert hashed == [everything] * 2


def _in_place(path: Path) -> None:
    """Another byte with the time of before, as who hides a change would."""
    status = path.stat()
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last[0] ^ 1]))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _replaced(path: Path) -> None:
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


@pytest.mark.parametrize("change", [_in_place, _replaced])
def test_a_change_is_seen_whatever_was_recorded(change: Callable[[Path], None], copy: Path) -> None:
    Bundle.open(copy)
    change(copy / TABLE)
    with pytest.raises(BundleError, match=f"{TABLE} was changed"):
        Bundle.open(copy)


def test_another_manifest_has_no_record(copy: Path, hashed: list[set[str]]) -> None:
    Bundle.open(copy)
    change_manifest(copy, lambda manifest: manifest["files"][TABLE].update(sha256="0" * 64))
    with pytest.raises(BundleError, match=f"{TABLE} was changed: its SHA-256"):
        Bundle.open(copy)


def test_what_fails_leaves_no_record(copy: Path) -> None:
    _in_place(copy / "triples.safetensors")
    with pytest.raises(BundleError, match="was changed"):
        Bundle.open(copy)
    assert records(copy) == []


def test_files_that_were_written_just_now_or_lie_anywhere_are_not_recorded(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(verified_once, "_SETTLED_NS", 3_600_000_000_000)
        Bundle.open(copy)
    with monkeypatch.context() as patched:
        patched.setattr(verified_once, "_are_stable", lambda _: False)
        Bundle.open(copy)
    assert records(copy) == []
    Bundle.open(copy)
    assert len(records(copy)) == 1


def test_file_systems_are_looked_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status = tmp_path.stat()
    device = f"{os.major(status.st_dev)}:{os.minor(status.st_dev)}"
    for kind, expected in (("ext4", True), ("nfs4", False), ("fuse.sshfs", False)):
        (tmp_path / "mounts").write_text(f"29 1 {device} / / rw,noatime shared:1 - {kind} /dev/vda rw\n")
        monkeypatch.setattr(verified_once, "_MOUNTS", tmp_path / "mounts")
        assert verified_once._are_stable([status]) == expected
    monkeypatch.setattr(verified_once, "_MOUNTS", tmp_path / "absent")
    assert not verified_once._are_stable([status])


def test_a_folder_that_others_may_write_to_is_not_believed(
    copy: Path, hashed: list[set[str]], caplog: pytest.LogCaptureFixture
) -> None:
    Bundle.open(copy)
    (copy.parent / "cache" / "verified").chmod(0o777)
    with caplog.at_level(logging.WARNING):
        everything = set(Bundle.open(copy).files)
    assert hashed == [everything] * 2
    assert "is open to others (mode 0777), who could vouch for changed ones" in caplog.text
