"""The parent's side of a contender's process: start it, ask it, notice that it died."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import mmkg_sdk

# No point of a sweep takes longer unless something hangs.
DEADLINE_S = 900.0
_WORKER = "mmkg_sdk.bench.machine.worker"
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# Waiting threads sleep instead of spinning, as those of ONNX Runtime do here. With other work on the machine, torch's
# spinning threads wait for ones that do not run: on two loaded cores it was 2 to 45 times slower. A set value counts.
WAIT_POLICY = os.environ.get("OMP_WAIT_POLICY", "PASSIVE")


class PointError(Exception):
    """One measurement failed; the message says how. Not an error of the sweep."""


class ContenderError(Exception):
    """The contender cannot run here at all; the message says why."""


class WorkerProcess:
    """One contender in a process of its own. A process that died is started anew when it is asked again.

    Args:
        program: a module of this package that worker.py opens; or a script, which gets the job alone.
        job: what it is told.
        threads: for libraries that read them from the environment.
    """

    def __init__(self, program: str | Path, job: Mapping[str, Any], threads: int) -> None:
        started = [str(program)] if isinstance(program, Path) else ["-m", _WORKER, program]
        # -P keeps files of the current folder from being taken for packages.
        self._command = [sys.executable, "-P", *started, json.dumps(job)]
        self._threads = threads
        self._process: subprocess.Popen[str] | None = None
        self._ready = False
        self._talk: Any = None

    def launch(self) -> None:
        """Start the process and do not wait for it."""
        # Not a pipe: nobody reads while the process works, and a full pipe would stop it.
        self._talk = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._ready = False
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._talk,
            env=child_environment(self._threads),
            encoding="utf-8",
        )

    def wait_until_ready(self) -> None:
        """Return when the bundle is open; starts the process if it does not run.

        Raises:
            PointError: the process died or hung.
            ContenderError: the process says that it cannot do its work here.
        """
        if self._process is None:
            self.launch()
        if not self._ready:
            reply = self.read()
            if "error" in reply:
                raise ContenderError(reply["error"])
            self._ready = True

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The reply to one request.

        Raises:
            PointError: the measurement failed, or the process died or hung over it.
            ContenderError: as in `wait_until_ready`.
        """
        self.wait_until_ready()
        assert self._process is not None
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it died since its last reply; reading says how
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        reply = self.read()
        if "error" in reply:
            raise PointError(reply["error"])
        return reply

    def read(self) -> dict[str, Any]:
        """The next line of a process that was launched.

        Raises:
            PointError: it died or hung.
        """
        process = self._process
        assert process is not None
        assert process.stdout is not None
        deadline = threading.Timer(DEADLINE_S, process.kill)
        deadline.start()
        try:
            line = process.stdout.readline()
        finally:
            late = not deadline.is_alive()
            deadline.cancel()
        if line.endswith("\n"):
            reply: dict[str, Any] = json.loads(line)
            return reply
        cause = f"no answer within {DEADLINE_S:.0f} s" if late else _cause_of_death(process.wait(), self._talk)
        self.close()
        raise PointError(cause)

    def close(self) -> None:
        """End the process, if it runs."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                # Closing flushes, and what is left for a dead process cannot be written.
                with contextlib.suppress(OSError):
                    pipe.close()
            self._talk.close()

    def __enter__(self) -> WorkerProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _cause_of_death(code: int, talk: IO[str]) -> str:
    """How a process ended that gave no answer.

    Args:
        code: its return code, as `subprocess` gives it.
        talk: what it wrote to stderr.
    """
    talk.seek(0)
    last = (talk.read().strip().splitlines() or ["it said nothing"])[-1]
    if code == -signal.SIGKILL:
        return "its process was killed (signal 9), as the system does when memory runs out"
    how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
    return f"its process ended {how}: {last:.300}"


def child_environment(threads: int) -> dict[str, str]:
    """Ours, with the thread count for libraries that read it there, and this very mmkg_sdk on the path."""
    environment = dict(os.environ) | dict.fromkeys(_THREAD_VARIABLES, str(threads))
    environment["OMP_WAIT_POLICY"] = WAIT_POLICY
    root = Path(mmkg_sdk.__file__).parent.parent
    if (root / "pyproject.toml").is_file():  # a checkout, which need not be installed
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(root), environment.get("PYTHONPATH")]))
    return environment
