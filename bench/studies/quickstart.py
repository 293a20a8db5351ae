"""How long a quickstart takes, stage by stage, and what its bundles answer.

    from mmkg_sdk.bench.studies.quickstart import measure_quickstart
    measure_quickstart("mygo", "quickstart-mygo.json")

or `mmkg-sdk bench study quickstart mygo`. It is run as a user runs it, in a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmkg_sdk.errors import BackendError

from ..machine.conditions import Watch
from ..report.written import check_out, write_study

# By which kernels, torch, its libraries and OpenBLAS are held to an instruction set (docs/benchmarks.md).
_HOLDING = (
    "MMKG_INSTRUCTION_SET",
    "ATEN_CPU_CAPABILITY",
    "ONEDNN_MAX_CPU_ISA",
    "MKL_ENABLE_INSTRUCTIONS",
    "OPENBLAS_CORETYPE",
)


def measure_quickstart(
    family: str, out: str | Path, *, say: Callable[[str], None] = lambda line: None
) -> dict[str, Any]:
    """Run it once.

    Args:
        family: whose.
        out: the JSON file to write.
        say: is told the stages when all is done.

    Returns:
        What was written: conditions, those variables that hold libraries to an instruction set, `seconds` of the whole
        process, and for each data source its metrics and the seconds of each stage.

    Raises:
        BackendError: it failed; the message ends with what it said.
        DataError: `out` cannot be written.
    """
    from mmkg_sdk.kernels import default_threads

    check_out(out)
    watch = Watch.start(default_threads())
    with tempfile.TemporaryDirectory(prefix="mmkg-quickstart-") as made:
        command = [sys.executable, "-P", "-m", "mmkg_sdk", "quickstart", "--family", family, "--json"]
        began = time.perf_counter()
        done = subprocess.run(
            [*command, "--out", str(Path(made) / "quickstart")], capture_output=True, text=True, check=False
        )
        seconds = time.perf_counter() - began
    if done.returncode:
        raise BackendError(f"the quickstart of {family} ended with status {done.returncode}: {done.stderr[-2000:]}")
    watch.finish()
    kept = ("source", "metrics", "seconds")
    result: dict[str, Any] = {
        "what": "mmkg-sdk quickstart: metrics of the test split, answered by the fp32 bundle",
        "environment": watch.found,
        "held_by": {name: os.environ[name] for name in _HOLDING if name in os.environ},
        "family": family,
        "seconds": round(seconds, 1),
        "lessons": [{name: lesson[name] for name in kept} for lesson in json.loads(done.stdout)],
    }
    for lesson in result["lessons"]:
        say(f"{lesson['source']}: {lesson['seconds']}")
    write_study(result, out)
    return result
