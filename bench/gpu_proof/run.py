"""run_proof: every step in turn, each in its own process, with its own limit and what is left handed on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmkg_sdk.backends.base import parse_device
from mmkg_sdk.errors import QueryError
from mmkg_sdk.files.atomic import write_atomically
from mmkg_sdk.kernels import default_threads

from ..machine.gpus import gpu_absence
from ..machine.worker_process import child_environment
from .job import Job
from .plan import PLAN, Step, limits
from .predictions import PREDICTIONS
from .step import NOT_MEASURED, module_of

NO_GPU = 3
PROOF = "proof.json"
# A step that takes what is left is not begun with less.
_LEAST_REST_S = 60.0
# From the first signal to one that cannot be passed over.
_GRACE_S = 5.0
# A rehearsal is cut by nothing but its own limits, which only a hanging step meets.
_REHEARSED_LIMIT_S = 240.0


@dataclass(frozen=True)
class Asked:
    """What the command was asked; see __main__.py."""

    out: Path
    minutes: float = 12.0
    device: str = "cuda:0"
    data: Path | None = None
    bundle: Path | None = None
    rehearse: bool = False
    only: tuple[str, ...] = ()


def run_proof(asked: Asked, say: Callable[[str], None] = print) -> int:
    """Do it all.

    Returns:
        The exit code: 0 where every step that can be measured here was; 1 where one failed or was cut; NO_GPU.

    Raises:
        QueryError: minutes out of range, or an unknown step.
        BackendError: no name of a device.
    """
    if not 0.5 <= asked.minutes <= 1440:
        raise QueryError(f"minutes is {asked.minutes:g}; expected 0.5 to 1,440.")
    if unknown := [name for name in asked.only if name not in {step.name for step in PLAN}]:
        raise QueryError(f"unknown step {unknown[0]!r}; expected some of {', '.join(step.name for step in PLAN)}.")
    _, index = parse_device(asked.device)
    asked.out.mkdir(parents=True, exist_ok=True)
    proof = _Proof(asked, say)
    for step in PLAN:
        module_of(step)  # what does not even import is known before anybody waits for it
    say(f"{len(PLAN)} steps, every module imported")
    if not asked.rehearse and (absence := gpu_absence(index)):
        proof.found["no_gpu"] = absence
        proof.write()
        say(f"no GPU: {absence}")
        return NO_GPU
    for step in PLAN:
        if not asked.only or step.name in asked.only:
            proof.do(step)
    return proof.finish()


class _Proof:
    def __init__(self, asked: Asked, say: Callable[[str], None]) -> None:
        self._asked, self._say, self._began = asked, say, time.monotonic()
        self._limits = limits(asked.minutes)
        self.found: dict[str, Any] = {
            "minutes": asked.minutes,
            "device": "cpu" if asked.rehearse else asked.device,
            "rehearsed": asked.rehearse,
            "complete": False,
            "predictions": [list(one) for one in PREDICTIONS],
            "steps": [],
        }
        self.write()

    def write(self) -> None:
        """What is known by now."""
        text = json.dumps(self.found, indent=1) + "\n"
        write_atomically(self._asked.out / PROOF, text.encode())

    def do(self, step: Step) -> None:
        """One step; whatever happens to it, the next one follows."""
        left = self._left()
        limit = left if step.rest else min(left, self._limits[step.name])
        if self._asked.rehearse:
            limit = _REHEARSED_LIMIT_S
        elif limit < (_LEAST_REST_S if step.rest else 1.0):
            self._note(step, "not reached", 0.0, limit, "no time was left")
            return
        self._say(f"{step.name}: {step.what} (at most {limit:.0f} s)")
        began = time.monotonic()
        code = self._process(step, limit)
        status = {0: "done", NOT_MEASURED: "not measured", None: "cut"}.get(code, "failed")
        self._note(step, status, time.monotonic() - began, limit, self._last_line(step) if code else "")

    def finish(self) -> int:
        """All steps were tried."""
        self.found["complete"] = True
        self.write()
        return int(any(step["status"] in ("failed", "cut") for step in self.found["steps"]))

    def _process(self, step: Step, limit: float) -> int | None:
        """The exit code of the step's process; None if it had to be ended."""
        asked = self._asked
        job = Job(
            str(asked.out.absolute()),
            limit,
            self.found["device"],
            asked.rehearse,
            step.argument,
            None if asked.data is None else str(asked.data.absolute()),
            str((asked.bundle or asked.out / "bundle").absolute()),
        )
        command = [sys.executable, "-P", "-m", "mmkg_sdk.bench.gpu_proof.step", step.name, job.to_json()]
        with (asked.out / f"{step.name}.log").open("w", encoding="utf-8") as log:
            process = None
            try:
                with _signals_held():  # one that came while the step starts would leave it without a parent
                    # A session of its own: what a step starts ends with it.
                    process = subprocess.Popen(
                        command,
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        env=child_environment(1 if asked.rehearse else default_threads()),
                        start_new_session=True,
                    )
                return process.wait(limit)
            except subprocess.TimeoutExpired:
                return None
            finally:
                if process is not None:
                    _end(process)

    def _left(self) -> float:
        return 60 * self._asked.minutes - (time.monotonic() - self._began)

    def _note(self, step: Step, status: str, seconds: float, limit: float, note: str) -> None:
        row = {"step": step.name, "what": step.what, "status": status, "note": note}
        self.found["steps"].append(row | {"seconds": round(seconds, 1), "limit_s": round(limit, 1)})
        self.write()
        self._say(f"{step.name}: {status}, {seconds:.0f} s" + (f": {note}" if note else ""))

    def _last_line(self, step: Step) -> str:
        log = self._asked.out / f"{step.name}.log"
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1][:500] if lines else "it said nothing"


@contextmanager
def _signals_held() -> Iterator[None]:
    """A signal that would end this process is handled behind the block. Only the main thread handles any."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {
        number: signal.signal(number, lambda one, frame: came.append(one)) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and what it started: first so that it can write, then for good."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, how)
        except ProcessLookupError:
            break
        try:
            process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            continue
    process.wait()
