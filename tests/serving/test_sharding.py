"""A bundle is cut into verified folders, and what is not right with one of them is said when it is opened."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mmkg_sdk
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.errors import BundleError, DataError, ExportError
from mmkg_sdk.serving import ShardedLinker, ShardedModel, load_sharded, shard_bundle
from mmkg_sdk.serving.shards import TableShard, open_front, open_shard
from tests.attacks.reseal import change_manifest, reseal
from tests.cli.walk import call

Bundles = Callable[[str, bool], Path]


@pytest.fixture
def copy(bundles: Bundles, tmp_path: Path) -> Path:
    shard_bundle(bundles("mygo", False), tmp_path / "sharded", 3)
    return tmp_path / "sharded"


@pytest.mark.parametrize("name", ["mygo", "adamf_mat", "mkgformer-links", "mimic"])
def test_rows_are_those_of_the_bundle_each_once(name: str, bundles: Bundles, tmp_path: Path) -> None:
    whole = Bundle.open(bundles(name, False))
    starts = shard_bundle(bundles(name, False), tmp_path / "out", 4)
    sizes = np.diff(starts)
    assert starts[-1] == len(whole.entities)
    assert sizes.max() - sizes.min() <= 1
    parts = [Bundle.open(tmp_path / "out" / f"shard-{number}", part=True) for number in range(4)]
    assert [label for part in parts for label in part.entities] == list(whole.entities)
    for piece, array in whole.encoded.items():
        np.testing.assert_array_equal(np.concatenate([part.encoded[piece] for part in parts]), array)
    front = open_front(tmp_path / "out")
    assert not front.encoded
    assert front.entities == whole.entities


def test_a_shard_needs_no_other_folder(copy: Path, tmp_path: Path) -> None:
    shutil.copytree(copy / "shard-1", tmp_path / "elsewhere" / "shard-1")
    shard = open_shard(tmp_path / "elsewhere", 1)
    assert isinstance(shard, TableShard)
    vector = shard.rows("vectors", np.array([2]))
    assert shard.top_k(vector, 9, None, None).ids.tolist() == np.argsort(-shard.scores(vector)[0]).tolist()


@pytest.mark.parametrize("count", [0, -1, 10, 5000])
def test_empty_shards_are_refused(count: int, bundles: Bundles, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"{count} shards asked for; .* with 9 entities is cut into 1 to 9"):
        shard_bundle(bundles("mygo", False), tmp_path / "out", count)
    assert not (tmp_path / "out").exists()


def test_a_task_without_a_table_is_refused(bundles: Bundles, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="relation-extraction, which has no table of entities"):
        shard_bundle(bundles("mkgformer-relations", False), tmp_path / "out", 2)


def test_what_stands_there_is_replaced_only_if_it_was_asked_for(copy: Path, bundles: Bundles) -> None:
    bundle = bundles("mygo", False)
    with pytest.raises(ExportError, match=r"holds a sharded bundle already\. Pass --overwrite"):
        shard_bundle(bundle, copy, 2)
    with pytest.raises(ExportError, match="holds something that is no sharded bundle"):
        shard_bundle(bundle, copy / "shard-1", 2, overwrite=True)
    shard_bundle(bundle, copy, 2, overwrite=True)
    assert sorted(path.name for path in copy.iterdir()) == ["front", "shard-0", "shard-1"]


def test_the_command_cuts_and_says_where(bundles: Bundles, tmp_path: Path) -> None:
    found = call("bundle", "shard", bundles("mygo", False), "--shards", "2", "--out", tmp_path / "out", "--json")
    assert not found.wrong()
    assert '"starts": [\n  0,\n  4,\n  9\n ]' in found.out
    with load_sharded(tmp_path / "out") as parts:
        assert isinstance(parts, ShardedModel)
        assert len(parts.entities) == 9


# ---- parts are no bundles, and bundles no parts ---------------------------------------------------------------------


def test_each_is_opened_as_what_it_is(copy: Path, bundles: Bundles) -> None:
    with pytest.raises(BundleError, match=r"is a sharded bundle, .* Open it with mmkg_sdk.serving.load_sharded"):
        mmkg_sdk.load(copy)
    for part in ("front", "shard-0"):
        with pytest.raises(BundleError, match=r"is a part of a sharded bundle\. Open the folder above it"):
            mmkg_sdk.load(copy / part)
    with pytest.raises(BundleError, match="front: No such file"):
        load_sharded(bundles("mygo", False))
    with pytest.raises(BundleError, match="is a whole bundle; expected a part"):
        Bundle.open(bundles("mygo", False), part=True)
    with pytest.raises(BundleError, match="ShardedLinker needs one for entity-linking"):
        ShardedLinker.load(copy)


def test_one_flipped_byte_in_any_part_is_noticed(copy: Path) -> None:
    for path in sorted(copy.rglob("*")):
        if path.is_file():
            good = path.read_bytes()
            bad = bytearray(good)
            bad[len(good) // 2] ^= 1
            path.write_bytes(bad)
            with pytest.raises(BundleError, match=path.name):
                load_sharded(copy)
            path.write_bytes(good)
    load_sharded(copy).close()


def missing(folder: Path) -> None:
    shutil.rmtree(folder / "shard-1")


def swapped(folder: Path) -> None:
    (folder / "shard-1").rename(folder / "other")
    (folder / "shard-2").rename(folder / "shard-1")
    (folder / "other").rename(folder / "shard-2")


def no_front(folder: Path) -> None:
    shutil.rmtree(folder / "front")
    shutil.copytree(folder / "shard-0", folder / "front")


def of_another_cut(folder: Path) -> None:
    def change(manifest: dict[str, Any]) -> None:
        manifest["part"]["bundle"] = "0" * 64

    change_manifest(folder / "shard-2", change)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (missing, "shard-1: No such file"),
        (swapped, r"shard-1 holds shard-2\. Copy the folders again"),
        (no_front, r"front holds shard-0\. Copy the folders again"),
        (of_another_cut, "shard-2 was cut of another bundle than the front"),
    ],
)
def test_folders_that_do_not_belong_together_are_refused(
    spoil: Callable[[Path], None], message: str, copy: Path
) -> None:
    spoil(copy)
    with pytest.raises(BundleError, match=message):
        load_sharded(copy)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "part is None; expected bundle"),
        ({}, "expected bundle, starts and number"),
        ({"bundle": "a", "starts": [0, 9], "number": 0, "path": "/etc"}, "expected bundle, starts and number"),
        ({"bundle": 1, "starts": [0, 3, 6, 9], "number": 0}, "expected the seal of a bundle"),
        ({"bundle": "a", "starts": [0, 3.0, 9], "number": 0}, "expected the seal of a bundle"),
        ({"bundle": "a", "starts": [0], "number": 0}, "expected ascending rows from 0"),
        ({"bundle": "a", "starts": [1, 9], "number": 0}, "expected ascending rows from 0"),
        ({"bundle": "a", "starts": [0, 5, 5, 9], "number": 0}, "expected ascending rows from 0"),
        ({"bundle": "a", "starts": list(range(4098)), "number": 0}, "expected ascending rows from 0"),
        ({"bundle": "a", "starts": [0, 9], "number": 1}, "expected 0 to 0, or null"),
        ({"bundle": "a", "starts": [0, 9], "number": -1}, "expected 0 to 0, or null"),
        ({"bundle": "a", "starts": [0, 9], "number": True}, "expected 0 to 0, or null"),
        ({"bundle": "a", "starts": [0, 3, 6, 99], "number": 0}, "99 rows does not go with a bundle of 9 entities"),
        ({"bundle": "a", "starts": [0, 2, 6, 9], "number": 0}, r"has 3 labels, but the configuration .* says 2"),
    ],
)
def test_a_hostile_part_is_refused(value: Any, message: str, copy: Path) -> None:
    change_manifest(copy / "shard-0", lambda manifest: manifest.update(part=value))
    with pytest.raises(BundleError, match=message):
        load_sharded(copy)


def test_a_table_of_other_rows_than_the_labels_is_refused(copy: Path) -> None:
    labels = (copy / "shard-0" / "entities.txt").read_text()
    (copy / "shard-0" / "entities.txt").write_text(labels + "one more\n")
    reseal(copy / "shard-0")
    with pytest.raises(BundleError, match="has 4 labels, but the configuration"):
        load_sharded(copy)
