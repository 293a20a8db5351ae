"""One ranker at one point of a race, in a process of its own: `python -m mmkg_sdk.bench.race_worker JOB`.

JOB is a JSON object with name (of a ranker), point, threads and ids (a file to write). Every line of
stdin is a request, {"seconds": 1.0}; the reply is one line, {"ms": [...]}, and {"ready": true} before the first.
{"error": ...} in its place says why there is none.
"""

from __future__ import annotations

import json
import os
import sys
import time

import numpy as np
from numpy.typing import NDArray

from mmkg_sdk.errors import MmkgError

from .race import Point
from .rankers import open_ranker

_MIN_SAMPLES = 3
# Batches that take turns, so that no answer is at hand from the call before.
_BATCHES = 4


def main() -> None:
    """Serve until stdin ends."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def reply(answer: object) -> None:
        channel.write(json.dumps(answer) + "\n")
        channel.flush()

    job = json.loads(sys.argv[1])
    point = Point(**job["point"])
    try:
        table = _vectors(point, 0, point.rows)
        batches = [_vectors(point, 1 + number, point.batch) for number in range(_BATCHES)]
        answer = open_ranker(job["name"], table, point.candidate_score, point.k, job["threads"], batches[0])
        np.save(job["ids"], answer(batches[0]), allow_pickle=False)
    except (MmkgError, ImportError, MemoryError) as err:
        reply({"error": f"{type(err).__name__}: {err}"})
        return
    for queries in batches[1:]:
        answer(queries)
    reply({"ready": True})
    for line in sys.stdin:
        samples: list[float] = []
        seconds = json.loads(line)["seconds"]
        began = time.perf_counter()
        while len(samples) < _MIN_SAMPLES or time.perf_counter() - began < seconds:
            queries = batches[len(samples) % _BATCHES]
            start = time.perf_counter()
            answer(queries)
            samples.append(1e3 * (time.perf_counter() - start))
        reply({"ms": samples})


def _vectors(point: Point, stream: int, count: int) -> NDArray[np.float32]:
    """Normal numbers, as trained vectors nearly are; equal in every process."""
    return np.random.default_rng([point.seed, stream]).standard_normal((count, point.width), np.float32)


if __name__ == "__main__":
    main()
