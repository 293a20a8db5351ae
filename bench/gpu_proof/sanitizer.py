"""Step "sanitizer": small cases of step "kernels" under compute-sanitizer, whose errors are ours.

NEVER RUN ON A GPU. In a rehearsal the cases run without it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time

from mmkg_sdk.errors import BackendError
from mmkg_sdk.kernels import default_threads

from ..machine.worker_process import child_environment
from .exactness import TINY, check
from .job import Job
from .record import Record

# memcheck: reads and writes past the ends; racecheck: of shared memory; initcheck: of memory that nobody wrote.
TOOLS = ("memcheck", "racecheck", "initcheck")
# What compute-sanitizer gives back where it found something.
_FOUND = 17


def run(job: Job, record: Record) -> None:
    """A row for each tool.

    Raises:
        BackendError: compute-sanitizer is not installed.
    """
    program = shutil.which("compute-sanitizer")
    command = [sys.executable, "-P", "-m", "mmkg_sdk.bench.gpu_proof.sanitizer", job.device]
    here = child_environment(default_threads())
    if job.rehearsed:
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=here)
        record.add(tool=None, code=done.returncode, said=(done.stdout + done.stderr)[-2000:])
        if done.returncode:
            raise SystemExit("the cases that the tools would watch do not pass by themselves")
        return
    if program is None:
        raise BackendError("compute-sanitizer is not installed; it comes with the CUDA toolkit")
    began, found = time.monotonic(), []
    for tool in TOOLS:
        left = job.seconds - (time.monotonic() - began) - 2
        if left < 5:
            record.add(tool=tool, status="not reached")
            continue
        under = [program, "--tool", tool, f"--error-exitcode={_FOUND}", *command]
        try:
            done = subprocess.run(under, capture_output=True, text=True, timeout=left, check=False, env=here)
        except subprocess.TimeoutExpired:
            record.add(tool=tool, status="cut")
            continue
        said = (done.stdout + done.stderr)[-2000:]
        record.add(tool=tool, code=done.returncode, clean=done.returncode == 0, said=said)
        found += [tool] if done.returncode else []
    if found:
        raise SystemExit(f"not clean: {', '.join(found)}")


def main() -> None:
    """What runs under the tool: the tiny cases, whose answers must be right, too."""
    device = sys.argv[1]
    wrong = [case for case in TINY if not check(case, 1, device, on_gpu=device != "cpu")["right"]]
    if wrong:
        sys.exit(f"wrong answers: {wrong}")


if __name__ == "__main__":
    main()
