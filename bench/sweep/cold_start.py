"""Cold start: from nothing to the first answer in a fresh process, and the memory that it then holds.

The files of the bundle and of Python are in the memory of the operating system where they were read before; what a
machine needs after it was switched on is not measured.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..machine.worker_process import PointError, WorkerProcess

_PROGRAM = Path(__file__).with_name("cold_start_program.py")


def cold_start(job: Mapping[str, Any]) -> dict[str, Any]:
    """One start.

    Args:
        job: of a contender, with bundle, backend, device and threads.

    Returns:
        first_answer_ms from the start of the process, which holds import_ms (of the SDK), load_ms and answer_ms;
        resident_mib after the answer and peak_mib, None where the system does not say.

    Raises:
        PointError: it failed; the message says how.
    """
    with WorkerProcess(_PROGRAM, job, job["threads"]) as process:
        began = time.perf_counter()
        process.launch()
        reply = process.read()
        first_answer_ms = 1e3 * (time.perf_counter() - began)
    if "error" in reply:
        raise PointError(reply["error"])
    return {"first_answer_ms": first_answer_ms, **reply}
