"""Runs and data sets as they are really written, killed at every step and out of disk at every size."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mmkg_sdk.data import read_dataset, write_dataset
from mmkg_sdk.data.graph import DataSet, Features, RawTokens
from mmkg_sdk.errors import DataError
from mmkg_sdk.run import Run
from tests.faults.at_event import FAILED, UNTOUCHED, kill, run_in_child
from tests.training.tiny import ENTITIES, new_run, random_graph

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),
]


def dataset() -> DataSet:
    vectors = np.ones((ENTITIES, 40), np.float32)
    tokens = RawTokens({"entity 0": [1, 2]}, np.ones((9, 40), np.float32), vocabulary_size=9, pad_id=8)
    return DataSet(random_graph(), {"visual": tokens}, {"visual": Features(vectors, np.ones(ENTITIES, bool))})


def write_run(folder: Path) -> None:
    new_run(folder)


def overwrite_run(folder: Path) -> Run:
    """The same data with another configuration."""
    old = Run.open(folder)
    return Run.create(folder, family="mygo", config={"width": 9}, data=old.data, overwrite=True)


def read_run(folder: Path) -> list[list[int]]:
    return Run.open(folder).graph.train.tolist()


def write_data(folder: Path) -> None:
    write_dataset(dataset(), folder)


def read_data(folder: Path) -> list[list[int]]:
    return read_dataset(folder).graph.train.tolist()


WRITERS = {"run": (write_run, read_run), "data set": (write_data, read_data)}
every_writer = pytest.mark.parametrize(("write", "read"), WRITERS.values(), ids=WRITERS)
Write, Read = Callable[[Path], object], Callable[[Path], object]


@every_writer
def test_killed_at_any_moment_it_is_whole_or_absent_and_can_be_written_again(
    tmp_path: Path, write: Write, read: Read
) -> None:
    for number in range(100):
        folder = tmp_path / str(number) / "out"
        folder.parent.mkdir()
        code = run_in_child(lambda folder=folder: write(folder), folder.parent, kill, number)  # type: ignore[misc]
        assert code in (UNTOUCHED, -signal.SIGKILL)
        if not folder.exists():
            write(folder)
            assert os.listdir(folder.parent) == ["out"]
        assert read(folder) == random_graph().train.tolist()
        if code == UNTOUCHED:
            break
    assert 10 <= number < 99


def test_a_run_killed_while_it_is_replaced_is_the_old_or_the_new_one(tmp_path: Path) -> None:
    widths = set()
    for number in range(100):
        folder = tmp_path / str(number) / "run"
        new_run(folder)
        code = run_in_child(lambda folder=folder: overwrite_run(folder), folder.parent, kill, number)  # type: ignore[misc]
        widths.add(Run.open(folder).config["width"])
        assert Run.open(folder).graph.train.tolist() == random_graph().train.tolist()
        overwrite_run(folder)
        assert os.listdir(folder.parent) == ["run"]
        if code == UNTOUCHED:
            break
    assert widths == {8, 9}


@every_writer
@pytest.mark.parametrize("limit", [0, 60, 200, 700, 1300])
def test_a_full_disk_is_a_data_error_and_leaves_nothing(tmp_path: Path, write: Write, read: Read, limit: int) -> None:
    def write_with_little_room() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        with pytest.raises(DataError, match=r"could not be written \(File too large; more than [\d,]+ bytes needed, "):
            write(tmp_path / "out")
        raise DataError("as it should be")

    assert run_in_child(write_with_little_room, tmp_path, kill, 10**6) == FAILED
    assert os.listdir(tmp_path) == []
