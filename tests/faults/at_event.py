"""Faults at the n-th thing that a process does to the file system, through Python's audit events.

An audit hook cannot be taken out again, so it is only installed in a forked child.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

# What changes the file system. `open` counts where it can write.
EVENTS = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate", "os.chmod", "shutil.rmtree"}
UNTOUCHED, SURVIVED, FAILED, UNEXPECTED = 0, 2, 3, 4


def run_in_child(action: Callable[[], object], folder: Path, fault: Callable[[], None], number: int) -> int:
    """Fork, let `fault` strike at the `number`-th event below `folder` (from 0) while `action` runs.

    Returns:
        UNTOUCHED (there was no such event), SURVIVED (the fault did no harm), FAILED (an error of the SDK or Ctrl-C),
        UNEXPECTED (another error, printed), or minus the signal that ended the child.
    """
    child = os.fork()
    if not child:
        status = UNEXPECTED
        try:
            status = _act(action, folder, fault, number)
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def no_space() -> None:
    raise OSError(28, "No space left on device")


def interrupt() -> None:
    raise KeyboardInterrupt


def _act(action: Callable[[], object], folder: Path, fault: Callable[[], None], number: int) -> int:
    from mmkg_sdk import MmkgError

    left = number

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if event not in EVENTS or not str(arguments[0]).startswith(str(folder)):
            return
        if event == "open" and not isinstance(arguments[2], int):
            return
        if event == "open" and not int(arguments[2]) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):  # type: ignore[call-overload]
            return
        left -= 1
        if left == -1:
            fault()

    sys.addaudithook(hook)
    try:
        action()
    except (MmkgError, KeyboardInterrupt):
        return FAILED
    except BaseException:
        traceback.print_exc()
        return UNEXPECTED
    return UNTOUCHED if left >= 0 else SURVIVED
