"""A lock file names its holder, goes with it, and can be taken again by the thread that has it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from mmkg_sdk.files import locks
from mmkg_sdk.files.locks import LockedError, locked_file

fcntl = pytest.importorskip("fcntl", reason="on Windows there is nothing to make a fake with")


class FakeMsvcrt:
    """Stands in for Windows' module, by means of this system's locks. No test of Windows itself."""

    LK_NBLCK = 2

    def __init__(self) -> None:
        self.offsets: set[int] = set()

    def locking(self, descriptor: int, mode: int, count: int) -> None:
        assert (mode, count) == (self.LK_NBLCK, 1)
        self.offsets.add(os.lseek(descriptor, 0, os.SEEK_CUR))
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            raise PermissionError(errno.EACCES, "Permission denied") from err


@pytest.fixture(params=["this system", "fake of Windows"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    if request.param != "this system":
        monkeypatch.setattr(locks, "fcntl", None)
        monkeypatch.setitem(sys.modules, "msvcrt", FakeMsvcrt())  # type: ignore[arg-type]
    return tmp_path / "lock"


def lock_in_thread(path: Path) -> str:
    """What another thread is told that tries to take the lock: "" if it gets it."""
    answers: list[str] = []

    def take() -> None:
        try:
            with locked_file(path):
                answers.append("")
        except LockedError as err:
            answers.append(str(err))

    thread = threading.Thread(target=take)
    thread.start()
    thread.join()
    return answers[0]


def test_the_file_is_there_while_it_is_held_and_names_the_process(path: Path) -> None:
    with locked_file(path):
        assert path.read_text() == str(os.getpid())
        assert lock_in_thread(path) == f"in use by process {os.getpid()}"
    assert not path.exists()
    assert lock_in_thread(path) == ""


def test_the_thread_that_holds_it_may_take_it_again(path: Path) -> None:
    with locked_file(path):
        with locked_file(path):
            pass
        assert lock_in_thread(path).startswith("in use"), "only the outer one frees it"
    assert lock_in_thread(path) == ""


def test_an_error_in_the_block_frees_it(path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked_file(path):
        1 / 0  # noqa: B018
    assert lock_in_thread(path) == ""


def test_a_file_that_a_dead_process_left_is_taken_over(path: Path) -> None:
    path.write_text("999999 and more")
    with locked_file(path):
        assert path.read_text() == str(os.getpid())
    assert not path.exists()


def test_who_waits_gets_it_when_it_is_free(path: Path) -> None:
    order = []

    def wait() -> None:
        with locked_file(path, wait=True):
            order.append("second")

    thread = threading.Thread(target=wait)
    with locked_file(path):
        thread.start()
        thread.join(0.3)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_a_file_that_cannot_be_removed_locks_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows, when another process has opened it meanwhile."""

    def refuse(self: Path, missing_ok: bool = False) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        with locked_file(path):
            pass
    assert path.exists()
    assert lock_in_thread(path) == ""
    assert not path.exists()


def test_windows_locks_a_byte_behind_the_process_id_so_that_others_can_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeMsvcrt()
    monkeypatch.setattr(locks, "fcntl", None)
    monkeypatch.setitem(sys.modules, "msvcrt", fake)  # type: ignore[arg-type]
    with locked_file(tmp_path / "lock"):
        assert (tmp_path / "lock").stat().st_size == len(str(os.getpid()))
    assert fake.offsets == {1 << 30}


def test_a_system_without_locks_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(descriptor: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks, "fcntl", SimpleNamespace(flock=flock, LOCK_EX=2, LOCK_NB=4))
    with pytest.raises(OSError, match="No locks available"), locked_file(tmp_path / "lock"):
        pass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_does_not_take_itself_for_the_holder(tmp_path: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path; from mmkg_sdk.files.locks import LockedError, locked_file\n"
        "path = Path(sys.argv[1])\n"
        "with locked_file(path):\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        try:\n"
        "            locked_file(path).__enter__()\n"
        "        except LockedError as err:\n"
        "            os._exit(int(err.owner != str(os.getppid())))\n"
        "        os._exit(2)\n"
        "    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    assert subprocess.run([sys.executable, "-c", program, str(tmp_path / "lock")], check=False).returncode == 0


def test_who_waits_for_a_lock_waits_no_longer_than_asked(path: Path) -> None:
    found: list[str] = []

    def take(timeout_s: float | None) -> None:
        try:
            with locked_file(path, wait=True, timeout_s=timeout_s):
                found.append("had it")
        except LockedError as err:
            found.append(err.owner)

    with locked_file(path):
        short = threading.Thread(target=take, args=(0.15,))
        short.start()
        short.join(10)
        assert found == [str(os.getpid())]
        long = threading.Thread(target=take, args=(30.0,))
        long.start()
    long.join(10)
    assert found[1:] == ["had it"]
