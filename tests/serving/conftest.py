"""Released bundles, as they are and with equal rows everywhere, whole and in any number of shards."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mmkg_sdk
from mmkg_sdk.files.tensors import map_tensors, write_tensors
from mmkg_sdk.serving import ShardedLinker, ShardedModel, load_sharded, shard_bundle
from tests.attacks.reseal import reseal
from tests.places import ROOT

RELEASED = ROOT / "tests" / "released" / "0.2.0"


def with_ties(folder: Path) -> None:
    """Only three rows differ, and the others are copies of them, so that every shard has equal rows of the others."""
    path = folder / "table.safetensors"
    arrays = {name: np.array(array) for name, array in map_tensors(path).items()}
    with path.open("wb") as file:
        write_tensors(file, {name: array[np.arange(len(array)) % 3] for name, array in arrays.items()})
    reseal(folder)


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, bool], Path]:
    """A released bundle by its name. Read-only."""
    made: dict[tuple[str, bool], Path] = {}

    def bundle(name: str, ties: bool = False) -> Path:
        if (name, ties) not in made:
            folder = tmp_path_factory.mktemp("released") / name
            shutil.copytree(RELEASED / name, folder)
            if ties:
                with_ties(folder)
            made[name, ties] = folder
        return made[name, ties]

    return bundle


@pytest.fixture(scope="session")
def sharded(
    bundles: Callable[[str, bool], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, int, bool], Path]:
    """A released bundle in shards. Read-only."""
    made: dict[tuple[str, int, bool], Path] = {}

    def cut(name: str, count: int, ties: bool = False) -> Path:
        if (name, count, ties) not in made:
            folder = tmp_path_factory.mktemp("sharded") / name
            shard_bundle(bundles(name, ties), folder, count)
            made[name, count, ties] = folder
        return made[name, count, ties]

    return cut


@pytest.fixture(scope="session")
def opened(
    bundles: Callable[[str, bool], Path], sharded: Callable[[str, int, bool], Path]
) -> Iterator[Callable[[str, int, bool], tuple[Any, ShardedModel | ShardedLinker]]]:
    """A whole bundle and the same in shards, both open."""
    whole: dict[tuple[str, bool], Any] = {}
    parts: dict[tuple[str, int, bool], ShardedModel | ShardedLinker] = {}

    def both(name: str, count: int, ties: bool) -> tuple[Any, ShardedModel | ShardedLinker]:
        if (name, ties) not in whole:
            whole[name, ties] = mmkg_sdk.load(bundles(name, ties), threads=1)
        if (name, count, ties) not in parts:
            parts[name, count, ties] = load_sharded(sharded(name, count, ties), threads=1)
        return whole[name, ties], parts[name, count, ties]

    yield both
    for one in [*whole.values(), *parts.values()]:
        one.close()
