"""Cold start: from nothing to the first answer in a fresh process, and the memory that it then holds.

The files of the bundle and of Python are in the memory of the operating system where they were read before; what a
machine needs after it was switched on is not measured.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from ..machine.worker_process import DEADLINE_S, PointError, cause_of_death, worker_environment

_PROGRAM = Path(__file__).with_name("cold_start_program.py")


def cold_start(bundle: Path, backend: str, threads: int) -> dict[str, Any]:
    """One start.

    Returns:
        first_answer_ms from the start of the process, which holds import_ms (of the SDK), load_ms and answer_ms;
        resident_mib after the answer and peak_mib, None where the system does not say.

    Raises:
        PointError: it failed; the message says how.
    """
    job = {"bundle": str(bundle), "backend": backend, "threads": threads}
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as talk:
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-P", str(_PROGRAM), json.dumps(job)],
            stdout=subprocess.PIPE,
            stderr=talk,
            env=worker_environment(threads),
            encoding="utf-8",
        )
        deadline = threading.Timer(DEADLINE_S, process.kill)
        deadline.start()
        try:
            with process:
                assert process.stdout is not None
                line = process.stdout.readline()
                first_answer_ms = 1e3 * (time.perf_counter() - began)
        finally:
            deadline.cancel()
        if not line.endswith("\n"):
            raise PointError(cause_of_death(process.returncode, talk))
    reply: dict[str, Any] = json.loads(line)
    if "error" in reply:
        raise PointError(reply["error"])
    return {"first_answer_ms": first_answer_ms, **reply}
