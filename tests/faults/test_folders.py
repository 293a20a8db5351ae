"""The target of an export is absent, old or new, whatever strikes at whatever moment; the next export cleans up."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from mmkg_sdk import ExportError
from mmkg_sdk.files.folders import new_folder
from tests.faults.at_event import FAILED, SURVIVED, UNTOUCHED, interrupt, kill, no_space, run_in_child

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),
]
NAMES = ("bundle.json", "entities.txt", "table.safetensors")


def write(target: Path, content: str, *, overwrite: bool = True) -> None:
    with new_folder(target, overwrite=overwrite) as folder:
        for name in NAMES:
            (folder / name).write_text(content)


def read(target: Path) -> str | None:
    """What stands at the target: one content in all files, or nothing."""
    if not target.exists():
        return None
    assert sorted(os.listdir(target)) == sorted(NAMES)
    (content,) = {(target / name).read_text() for name in NAMES}
    return content


@pytest.mark.parametrize("before", [None, "old"])
@pytest.mark.parametrize("fault", [kill, no_space, interrupt])
def test_a_fault_at_any_moment_leaves_old_or_new(tmp_path: Path, fault: Callable[[], None], before: str | None) -> None:
    outcomes = set()
    for number in range(100):
        base = tmp_path / str(number)
        base.mkdir()
        target = base / "bundle"
        if before:
            write(target, before)
        code = run_in_child(lambda target=target: write(target, "new"), base, fault, number)  # type: ignore[misc]
        found = read(target)
        outcomes.add(found)
        if fault is kill:
            assert code in (UNTOUCHED, -9)
            assert found in (None, before, "new")
        else:
            assert code in (UNTOUCHED, SURVIVED, FAILED)
            assert found == "new" or (found == before and code == FAILED)
        write(target, "later")
        assert read(target) == "later"
        assert os.listdir(base) == ["bundle"], "a later export cleans up"
        if code == UNTOUCHED:
            break
    else:
        pytest.fail("the child never got through")
    assert number >= 8, "the faults have struck at many moments"
    assert {before, "new"} <= outcomes


@pytest.mark.parametrize("before", [None, "old"])
def test_an_error_in_the_body_leaves_nothing_behind(tmp_path: Path, before: str | None) -> None:
    target = tmp_path / "bundle"
    if before:
        write(target, before)

    def fail_half_way() -> None:
        with new_folder(target, overwrite=True) as folder:
            (folder / "bundle.json").write_text("new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    assert read(target) == before
    assert os.listdir(tmp_path) == (["bundle"] if before else [])


@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_a_failing_system_call_is_an_export_error_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    target = tmp_path / "bundle"
    write(target, "old")
    original, count = getattr(os, call), 0

    def fail_once(*arguments: object) -> object:
        nonlocal count
        count += 1
        if count == 2:
            raise OSError(5, "Input/output error")
        return original(*arguments)

    monkeypatch.setattr(os, call, fail_once)
    with pytest.raises(ExportError, match=r"could not be written \(Input/output error, [\d,]+ MiB free\). Nothing was"):
        write(target, "new")
    assert read(target) == "old"
    assert os.listdir(tmp_path) == ["bundle"]


def test_an_existing_bundle_needs_overwrite(tmp_path: Path) -> None:
    write(tmp_path / "bundle", "old")
    with pytest.raises(ExportError, match=r"exists\. Pass --overwrite"):
        write(tmp_path / "bundle", "new", overwrite=False)
    assert read(tmp_path / "bundle") == "old"
    write(tmp_path / "bundle", "new")
    assert read(tmp_path / "bundle") == "new"


def test_a_folder_that_is_no_bundle_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("meow")
    with pytest.raises(ExportError, match="holds something that is no bundle; it is left alone"):
        write(tmp_path / "photos", "new")
    (tmp_path / "file").write_text("text")
    with pytest.raises(ExportError, match="is a file; a bundle is a folder"):
        write(tmp_path / "file", "new")
    assert (tmp_path / "photos" / "cat.jpg").read_text() == "meow"
    assert (tmp_path / "file").read_text() == "text"


def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path: Path) -> None:
    write(tmp_path / "real", "old")
    (tmp_path / "link").symlink_to("real")
    write(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert read(tmp_path / "real") == "new"
    assert sorted(os.listdir(tmp_path)) == ["link", "real"]


@pytest.mark.parametrize("name", ["with space", "日本" * 40, "n" * 255, "é" * 127, "-f"])
def test_any_folder_name_works(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for target in (Path(name), tmp_path / name):
        write(target, "new")
        assert read(tmp_path / name) == "new"
    assert os.listdir(tmp_path) == [name]


def test_long_names_that_begin_alike_do_not_share_their_leftovers(tmp_path: Path) -> None:
    one, two = tmp_path / ("n" * 250 + "1"), tmp_path / ("n" * 250 + "2")
    with new_folder(one, overwrite=False) as folder:
        (folder / "bundle.json").write_text("")
        write(two, "two")
        assert folder.exists()
    assert read(two) == "two"


def test_the_home_shortcut_and_missing_parents_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write(Path("~/a/b/bundle"), "new")
    assert read(tmp_path / "a" / "b" / "bundle") == "new"


def test_a_parent_that_is_a_file_is_an_export_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match=r"could not be written \((Not a directory|File exists)"):
        write(tmp_path / "file" / "bundle", "new")


def test_a_folder_that_may_not_be_written_is_an_export_error(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    tmp_path.chmod(0o555)
    with pytest.raises(ExportError, match="Permission denied"):
        write(tmp_path / "bundle", "new")


HOLDER = """
import sys
from pathlib import Path
from mmkg_sdk.files.folders import new_folder
with new_folder(Path(sys.argv[1]), overwrite=True) as folder:
    for name in sys.argv[2:]:
        (folder / name).write_text("holder")
    print("inside", flush=True)
    sys.stdin.read()
"""


def holder(target: Path) -> subprocess.Popen[str]:
    """Another process that is in the middle of an export, until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(target), *NAMES], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "inside\n"
    return process


def test_of_two_exports_at_once_the_second_is_told_who_writes(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    first = holder(target)
    with pytest.raises(ExportError, match=f"is in use by process {first.pid}; wait for it"):
        write(target, "second")
    first.communicate("")
    assert first.returncode == 0
    assert read(target) == "holder"
    write(target, "second")
    assert read(target) == "second"
    assert os.listdir(tmp_path) == ["bundle"]


def test_the_lock_of_a_killed_export_does_not_bar_the_next(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    first = holder(target)
    first.kill()
    first.wait()
    assert len(os.listdir(tmp_path)) == 2  # its lock and its half
    write(target, "second")
    assert read(target) == "second"
    assert os.listdir(tmp_path) == ["bundle"]


def test_a_crowd_of_writers_never_mixes(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    results: list[str] = []

    def keep_writing(name: str) -> None:
        for _ in range(30):
            try:
                write(target, name)
                results.append("wrote")
            except ExportError as err:
                assert "is in use by process" in str(err)  # noqa: PT017
                results.append("refused")

    threads = [threading.Thread(target=keep_writing, args=(f"writer {i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 120
    assert "wrote" in results
    assert str(read(target)).startswith("writer")
    assert os.listdir(tmp_path) == ["bundle"]


def test_a_crash_between_the_two_renames_gives_the_old_bundle_back_to_the_next_export(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    write(target, "old")
    target.rename(tmp_path / ".bundle.old")
    shutil.copytree(tmp_path / ".bundle.old", tmp_path / ".bundle.new")
    with pytest.raises(ExportError, match=r"exists\. Pass --overwrite"):
        write(target, "new", overwrite=False)
    assert read(target) == "old"
