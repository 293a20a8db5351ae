"""What is made once for a run of the tests, however many workers share it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """The folder `name` of this run, which `make` fills when it is first asked for. Read-only for all who get it.

    Args:
        make: gets the empty folder. If it raises, or skips, the next who asks tries again.
    """
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # a worker's folder lies in that of the run
    folder = base / "once" / name
    made = folder.with_name(f"{name}.made")
    folder.parent.mkdir(exist_ok=True)
    with FileLock(folder.with_name(f"{name}.lock")):
        if not made.exists():
            shutil.rmtree(folder, ignore_errors=True)  # what an attempt that failed left
            folder.mkdir()
            make(folder)
            made.touch()
    return folder
