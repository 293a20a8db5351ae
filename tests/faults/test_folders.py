"""A folder is absent, old or new, whatever strikes at whatever moment; the next writer cleans up."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from mmkg_sdk.bundle import Bundle
from mmkg_sdk.errors import BundleError, DataError
from mmkg_sdk.export.bundle_writer import BUNDLE
from mmkg_sdk.files import folders
from mmkg_sdk.files.folders import FolderKind, folder_lock, new_folder
from mmkg_sdk.run import RUN, Run
from tests.faults.at_event import FAILED, SURVIVED, UNTOUCHED, interrupt, kill, no_space, run_in_child
from tests.faults.kinds import KINDS, REPLACED, fill, names, read, write
from tests.places import ROOT

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),
]
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
every_replaced_kind = pytest.mark.parametrize("kind", REPLACED, ids=lambda kind: kind.name)


@pytest.fixture(params=["one step", "two renames"])
def exchange(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How two folders change places: as this system can, and as every system can."""
    if request.param == "two renames":
        monkeypatch.setattr(folders, "_exchange", lambda one, two: False)
    elif sys.platform != "linux":
        pytest.skip("only Linux exchanges in one step")
    return str(request.param)


@pytest.mark.parametrize("fault", [kill, no_space, interrupt])
@every_replaced_kind
def test_a_fault_at_any_moment_leaves_old_or_new(
    tmp_path: Path, fault: Callable[[], None], kind: FolderKind, exchange: str
) -> None:
    outcomes = strike_everywhere(tmp_path, fault, kind, "old")
    allowed = {"old", "new", None} if (fault, exchange) == (kill, "two renames") else {"old", "new"}
    assert {"old", "new"} <= outcomes <= allowed


@pytest.mark.parametrize("fault", [kill, no_space, interrupt])
@every_kind
def test_a_fault_at_any_moment_leaves_nothing_or_new(
    tmp_path: Path, fault: Callable[[], None], kind: FolderKind
) -> None:
    assert strike_everywhere(tmp_path, fault, kind, None) == {None, "new"}


def strike_everywhere(base: Path, fault: Callable[[], None], kind: FolderKind, before: str | None) -> set[str | None]:
    """Strike at the first event, at the second, ...; returns what then stood at the target."""
    outcomes = set()
    for number in range(100):
        place = base / str(number)
        place.mkdir()
        target = place / "out"
        if before:
            write(target, before, kind)
        code = run_in_child(lambda target=target: write(target, "new", kind), place, fault, number)  # type: ignore[misc]
        found = read(target, kind)
        outcomes.add(found)
        if fault is kill:
            assert code in (UNTOUCHED, -9)
        else:
            assert code in (UNTOUCHED, SURVIVED, FAILED)
            assert found == "new" or (found == before and code == FAILED)
        clean_up(target, kind)
        assert os.listdir(place) == ["out"], "a later writer cleans up"
        if code == UNTOUCHED:
            assert number >= 8, "the faults have struck at many moments"
            return outcomes
    pytest.fail("the child never got through")


def clean_up(target: Path, kind: FolderKind) -> None:
    """Write again, which a data set only does where nothing is."""
    if kind.marker is not None or not target.exists():
        write(target, "later", kind)
        assert read(target, kind) == "later"
    else:
        with pytest.raises(kind.error, match="exists already"):
            write(target, "later", kind)


@every_kind
@pytest.mark.parametrize("before", [None, "old"])
def test_an_error_in_the_block_leaves_what_was_there(tmp_path: Path, kind: FolderKind, before: str | None) -> None:
    if before and kind.marker:
        write(tmp_path / "out", before, kind)
    there = os.listdir(tmp_path)

    def fail_half_way() -> None:
        with new_folder(tmp_path / "out", kind, overwrite=True) as folder:
            fill(folder, "new", kind)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    assert os.listdir(tmp_path) == there
    assert read(tmp_path / "out", kind) == (before if there else None)


@pytest.mark.parametrize("call", ["fsync", "rename"])
@every_replaced_kind
def test_a_failing_system_call_is_an_error_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, kind: FolderKind
) -> None:
    target = tmp_path / "out"
    write(target, "old", kind)
    monkeypatch.setattr(folders, "_exchange", lambda one, two: False)
    monkeypatch.setattr(os, call, failing_once(getattr(os, call), number=2))
    with pytest.raises(
        kind.error,
        match=r"could not be written \(Input/output error; more than [\d,]+ bytes needed, .*\. Nothing was",
    ):
        write(target, "new", kind)
    assert read(target, kind) == "old"
    assert os.listdir(tmp_path) == ["out"]


def failing_once(call: Callable[..., object], number: int) -> Callable[..., object]:
    count = 0

    def counted(*arguments: object) -> object:
        nonlocal count
        count += 1
        if count == number:
            raise OSError(5, "Input/output error")
        return call(*arguments)

    return counted


def test_a_new_folder_whose_name_may_be_lost_in_a_power_cut_is_not_called_unchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "out", "old", RUN)
    monkeypatch.setattr(os, "fsync", failing_once(os.fsync, number=6))  # three files, two folders, then the parent
    with pytest.raises(DataError, match="is the new run, but the system did not confirm that its name is on the disk"):
        write(tmp_path / "out", "new", RUN)
    assert read(tmp_path / "out", RUN) == "new"


@every_kind
def test_a_full_disk_is_an_error_that_says_what_is_free(tmp_path: Path, kind: FolderKind) -> None:
    """No file may grow beyond 100 bytes: what a full disk or a quota looks like."""

    def write_much() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        with pytest.raises(
            kind.error,
            match=r"out could not be written \(File too large; more than [\d,]+ bytes needed, .*\. Nothing",
        ):
            write(tmp_path / "out", "new" * 1000, kind)

    if kind.marker:
        write(tmp_path / "out", "old", kind)
    there = os.listdir(tmp_path)
    assert run_in_child(write_much, tmp_path, lambda: None, 10**6) == UNTOUCHED
    assert os.listdir(tmp_path) == there
    assert read(tmp_path / "out", kind) == ("old" if there else None)


def test_a_file_elsewhere_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    def copy() -> None:
        with new_folder(tmp_path / "a" / "out", BUNDLE) as folder:
            shutil.copy(tmp_path / "gone.png", folder)

    with pytest.raises(BUNDLE.error, match=r"\(No such file or directory: .*gone\.png; "):
        copy()


@every_kind
def test_what_exists_is_not_replaced_unless_asked_for(tmp_path: Path, kind: FolderKind) -> None:
    target = tmp_path / "out"
    write(target, "old", kind)
    message = f"holds a {kind.name} already" if kind.marker else "exists already"
    with pytest.raises(kind.error, match=f"{message}.*{kind.advice.split()[0]}"):
        write(target, "new", kind, overwrite=False)
    assert read(target, kind) == "old"


@every_replaced_kind
def test_what_is_to_be_replaced_is_replaced(tmp_path: Path, kind: FolderKind, exchange: str) -> None:
    write(tmp_path / "out", "old", kind)
    write(tmp_path / "out", "new", kind)
    assert read(tmp_path / "out", kind) == "new"
    assert os.listdir(tmp_path) == ["out"]


@every_kind
def test_an_empty_folder_is_used(tmp_path: Path, kind: FolderKind, exchange: str) -> None:
    (tmp_path / "out").mkdir()
    write(tmp_path / "out", "new", kind, overwrite=False)
    assert read(tmp_path / "out", kind) == "new"
    assert os.listdir(tmp_path) == ["out"]


@every_kind
def test_a_foreign_folder_or_file_is_never_overwritten(tmp_path: Path, kind: FolderKind) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("meow")
    (tmp_path / "file").write_text("text")
    foreign = f"holds something that is no {kind.name}; it is left alone" if kind.marker else "exists already"
    for overwrite in (False, True):
        with pytest.raises(kind.error, match=foreign):
            write(tmp_path / "photos", "new", kind, overwrite=overwrite)
        with pytest.raises(kind.error, match=f"is a file; a {kind.name} is a folder"):
            write(tmp_path / "file", "new", kind, overwrite=overwrite)
    assert (tmp_path / "photos" / "cat.jpg").read_text() == "meow"
    assert (tmp_path / "file").read_text() == "text"
    assert sorted(os.listdir(tmp_path)) == ["file", "photos"]


@every_kind
def test_a_folder_that_someone_else_fills_meanwhile_is_left_alone(tmp_path: Path, kind: FolderKind) -> None:
    def write_while_another_does() -> None:
        with new_folder(tmp_path / "out", kind, overwrite=True) as folder:
            fill(folder, "mine", kind)
            (tmp_path / "out").mkdir()
            (tmp_path / "out" / "file").write_text("theirs")

    with pytest.raises(kind.error, match=r"left alone|exists already"):
        write_while_another_does()
    assert (tmp_path / "out" / "file").read_text() == "theirs"
    assert os.listdir(tmp_path) == ["out"]


@every_replaced_kind
def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path: Path, kind: FolderKind, exchange: str) -> None:
    write(tmp_path / "real", "old", kind)
    (tmp_path / "link").symlink_to("real")
    write(tmp_path / "link", "new", kind)
    assert (tmp_path / "link").is_symlink()
    assert read(tmp_path / "real", kind) == "new"
    assert sorted(os.listdir(tmp_path)) == ["link", "real"]


@pytest.mark.parametrize("name", ["with space", "日本" * 40, "n" * 255, "é" * 127, "-f"])
@every_replaced_kind
def test_any_folder_name_works(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, kind: FolderKind) -> None:
    monkeypatch.chdir(tmp_path)
    for target in (Path(name), tmp_path / name):
        write(target, "new", kind)
        assert read(tmp_path / name, kind) == "new"
    assert os.listdir(tmp_path) == [name]


def test_long_names_that_begin_alike_do_not_share_their_leftovers(tmp_path: Path) -> None:
    one, two = tmp_path / ("n" * 250 + "1"), tmp_path / ("n" * 250 + "2")
    with new_folder(one, BUNDLE) as folder:
        fill(folder, "one", BUNDLE)
        write(two, "two", BUNDLE)
        assert folder.exists()
    assert read(two, BUNDLE) == "two"


def test_the_home_shortcut_and_missing_parents_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write(Path("~/a/b/bundle"), "new", BUNDLE)
    assert read(tmp_path / "a" / "b" / "bundle", BUNDLE) == "new"


def test_the_root_is_no_place_for_a_folder() -> None:
    with pytest.raises(DataError, match="/ has no name that a run could take"):
        write(Path("/"), "new", RUN)


@every_kind
def test_the_new_folder_has_the_usual_rights(tmp_path: Path, kind: FolderKind) -> None:
    (tmp_path / "usual").mkdir()
    write(tmp_path / "out", "new", kind)
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_files_that_may_not_be_written_any_more_are_synced_all_the_same(tmp_path: Path) -> None:
    with new_folder(tmp_path / "out", BUNDLE) as folder:
        fill(folder, "new", BUNDLE)
        (folder / "bundle.json").chmod(0o444)
    assert read(tmp_path / "out", BUNDLE) == "new"


@every_kind
def test_a_parent_that_is_a_file_is_an_error(tmp_path: Path, kind: FolderKind) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(kind.error, match=r"could not be written \((Not a directory|File exists)"):
        write(tmp_path / "file" / "out", "new", kind)


def test_a_folder_that_may_not_be_written_is_an_error(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    tmp_path.chmod(0o555)
    with pytest.raises(BUNDLE.error, match="Permission denied"):
        write(tmp_path / "bundle", "new", BUNDLE)


HOLDER = """
import sys
from pathlib import Path
from mmkg_sdk.files.folders import new_folder
from tests.faults.kinds import KINDS, fill
(kind,) = [kind for kind in KINDS if kind.name == sys.argv[2]]
with new_folder(Path(sys.argv[1]), kind, overwrite=True) as folder:
    fill(folder, "holder", kind)
    print("inside", flush=True)
    sys.stdin.read()
"""


def holder(target: Path, kind: FolderKind) -> subprocess.Popen[str]:
    """Another process that is in the middle of writing, until its input ends."""
    command = [sys.executable, "-c", HOLDER, str(target), kind.name]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "inside\n"
    return process


@every_kind
def test_of_two_writers_at_once_the_second_is_told_who_writes(tmp_path: Path, kind: FolderKind) -> None:
    target = tmp_path / "out"
    first = holder(target, kind)
    with pytest.raises(kind.error, match=f"is in use by process {first.pid}; wait for it"):
        write(target, "second", kind)
    first.communicate("")
    assert first.returncode == 0
    assert read(target, kind) == "holder"
    clean_up(target, kind)
    assert os.listdir(tmp_path) == ["out"]


def test_who_waits_comes_after_the_first(tmp_path: Path) -> None:
    first = holder(tmp_path / "out", RUN)
    threading.Timer(0.3, lambda: first.communicate("")).start()
    with folder_lock(tmp_path / "out", RUN, wait=True):
        assert read(tmp_path / "out", RUN) == "holder"
    assert os.listdir(tmp_path) == ["out"]


@every_kind
def test_the_lock_of_a_killed_writer_does_not_bar_the_next(tmp_path: Path, kind: FolderKind) -> None:
    target = tmp_path / "out"
    first = holder(target, kind)
    first.kill()
    first.wait()
    assert sorted(os.listdir(tmp_path)) == [".out.lock", ".out.new"]
    write(target, "second", kind)
    assert read(target, kind) == "second"
    assert os.listdir(tmp_path) == ["out"]


def test_a_crowd_of_writers_never_mixes(tmp_path: Path, exchange: str) -> None:
    target = tmp_path / "bundle"
    results: list[str] = []

    def keep_writing(name: str) -> None:
        for _ in range(30):
            try:
                write(target, name, BUNDLE)
                results.append("wrote")
            except BUNDLE.error as err:
                assert "is in use by process" in str(err)  # noqa: PT017
                results.append("refused")

    threads = [threading.Thread(target=keep_writing, args=(f"writer {i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 120
    assert "wrote" in results
    assert str(read(target, BUNDLE)).startswith("writer")
    assert os.listdir(tmp_path) == ["bundle"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux exchanges in one step")
def test_a_reader_finds_a_whole_folder_at_any_moment(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    write(target, "0", BUNDLE)
    done = threading.Event()
    missing: list[object] = []

    def look() -> None:
        while not done.is_set():
            if not (target / "bundle.json").exists():
                missing.append(target)

    reader = threading.Thread(target=look)
    reader.start()
    for number in range(100):
        write(target, str(number), BUNDLE)
    done.set()
    reader.join()
    assert not missing


@pytest.fixture
def interrupted(tmp_path: Path) -> Path:
    """What a kill between two renames leaves behind."""
    target = tmp_path / "out"
    write(target, "old", BUNDLE)
    target.rename(tmp_path / ".out.old")
    shutil.copytree(tmp_path / ".out.old", tmp_path / ".out.new")
    return target


def test_a_crash_between_the_two_renames_gives_the_old_folder_back_to_the_next_writer(interrupted: Path) -> None:
    with pytest.raises(BUNDLE.error, match=r"holds a bundle already\. Pass --overwrite"):
        write(interrupted, "new", BUNDLE, overwrite=False)
    assert read(interrupted, BUNDLE) == "old"
    assert os.listdir(interrupted.parent) == ["out"]


def test_who_opens_what_a_crash_left_is_told_where_the_old_one_is(interrupted: Path) -> None:
    told = r"It was being replaced and .*\.out\.old is its old state: if no process is at work, rename that to out\."
    with pytest.raises(BundleError, match=told):
        Bundle.open(interrupted)
    with pytest.raises(DataError, match=told):
        Run.open(interrupted)
    assert not interrupted.exists(), "reading changes nothing"


def test_every_kind_is_told_apart_by_its_files() -> None:
    assert len({tuple(names(kind)) for kind in KINDS}) == len(KINDS)
