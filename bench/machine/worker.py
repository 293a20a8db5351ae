"""The process of a contender: `python -m mmkg_sdk.bench.machine.worker MODULE JOB`.

MODULE is a module of mmkg_sdk.bench, such as "race.measurements"; its open_worker(job) gives what answers requests. JOB
is a JSON object. Every line of stdin is a request, every line of stdout the reply, both JSON objects; the first line of
stdout says {"ready": true}. A reply {"error": ...} is one failed point, or, as the first line, a contender that cannot
run here.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

from mmkg_sdk.errors import MmkgError

# What answers requests.
Answer = Callable[[Mapping[str, Any]], Mapping[str, Any]]


def main() -> None:
    """Serve until stdin ends."""
    # Libraries that print must not write into the replies.
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def reply(answer: Mapping[str, Any]) -> None:
        channel.write(json.dumps(answer) + "\n")
        channel.flush()

    module, job = sys.argv[1], json.loads(sys.argv[2])
    try:
        answer: Answer = importlib.import_module(f"mmkg_sdk.bench.{module}").open_worker(job)
    except Exception as err:  # whatever a peer raises, it is one contender less, and the others go on
        reply({"error": _words(err)})
        return
    reply({"ready": True})
    for line in sys.stdin:
        try:
            reply(answer(json.loads(line)))
        except Exception as err:  # whatever it is, it is one failed point
            reply({"error": _words(err)})


def _words(err: Exception) -> str:
    if isinstance(err, MmkgError):
        return str(err)
    return "out of memory" if isinstance(err, MemoryError) else f"{type(err).__name__}: {err}"


if __name__ == "__main__":
    main()
