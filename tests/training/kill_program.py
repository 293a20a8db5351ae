"""Child program of test_kill: trains a run and kills itself with SIGKILL at one point after another.

    python -m tests.training.kill_program FOLDER POINT...

For each POINT a run is made in FOLDER/POINT; a forked child trains it and dies there; a second trains it to
the end. A point is `batch-N` (in the Nth batch), `write-N` (before the Nth file that is written has reached
the disk) or `rename-N` (just after the Nth such file has taken its place).
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from mmkg_sdk.run import Run
from mmkg_sdk.training import train
from tests.training.tiny import SETTINGS, DistMult, new_objective, new_run, validation


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def counting(call: Callable[..., Any], stop: int, *, before: bool) -> Callable[..., Any]:
    """`call`, but its `stop`th use ends the process: instead of the call, or after it."""
    uses = 0

    def counted(*args: Any, **options: Any) -> Any:
        nonlocal uses
        uses += 1
        if before and uses == stop:
            die()
        result = call(*args, **options)
        if uses == stop:
            die()
        return result

    return counted


def train_until(folder: Path, point: str | None) -> None:
    """Train the run, or die at the point."""
    objective, run = new_objective(), Run.open(folder)
    if (folder / "resume.pt").exists():
        with torch.no_grad():
            objective.model.entities.zero_()  # what a resumed training begins with does not matter
    if point is not None:
        place, number = point.split("-")
        if place == "batch":
            DistMult.scores = counting(DistMult.scores, int(number), before=True)  # type: ignore[method-assign]
        if place == "write":  # the file is complete in memory, but not on the disk, and not renamed
            os.fsync = counting(os.fsync, 2 * int(number) - 1, before=True)  # its folder is synced as well
        if place == "rename":
            os.replace = counting(os.replace, int(number), before=False)
    train(objective, run, SETTINGS, validation(objective))


def in_child(work: Callable[[], None]) -> int:
    """The exit status of `work` in a forked process."""
    child = os.fork()
    if not child:
        try:
            work()
        except BaseException as err:
            print(f"{type(err).__name__}: {err}", file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main() -> None:
    torch.optim.Adam([torch.zeros(1)])  # its first use imports for a second, which every child would do again
    for point in sys.argv[2:]:
        folder = Path(sys.argv[1]) / point
        new_run(folder)
        killed = in_child(lambda folder=folder, point=point: train_until(folder, point))  # type: ignore[misc]
        if killed != -signal.SIGKILL:
            sys.exit(f"{point}: expected a kill, found exit status {killed}")
        kept = Path(sys.argv[1]) / f"{point}.metrics.jsonl"
        if (folder / "metrics.jsonl").exists():
            kept.write_bytes((folder / "metrics.jsonl").read_bytes())
        finished = in_child(lambda folder=folder: train_until(folder, None))  # type: ignore[misc]
        if finished:
            sys.exit(f"{point}: the resumed training ended with exit status {finished}")


if __name__ == "__main__":
    main()
