"""One contender at one point of a race, in a process of its own: `python -m mmkg_sdk.bench.race.worker JOB`.

JOB is a JSON object with race ("ranking" or "tucker"), name, point, threads, limit_s and, for rankings, exact (a file
of ExactAnswers). Every line of stdin is a request, {"seconds": 1.0}; the reply is one line, {"ms": [...],
"agreement": 1.0, "max_score_error": 1e-6, "details": {...}}, and {"ready": true} before the first. {"error": ...} in
its place says why there is none.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from mmkg_sdk.errors import BackendError, MmkgError

from .exact_answers import ExactAnswers
from .peers import RANKERS
from .random_table import random_batch, whole_table
from .rankers import Answer, Table
from .run import Point
from .tucker import TUCKER_WAYS, TuckerPoint, tucker_errors, tucker_inputs, tucker_weights

_MIN_SAMPLES = 3
# Batches that take turns, so that no answer is at hand from the call before.
_BATCHES = 4

# So many queries tell how long the batch would take.
_TRIED = (32, 256)

# Answers batch number i, and what is known of the answers before the clock runs.
Opened = tuple[Callable[[int], Any], dict[str, Any]]


def main() -> None:
    """Serve until stdin ends."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def reply(answer: object) -> None:
        channel.write(json.dumps(answer) + "\n")
        channel.flush()

    job = json.loads(sys.argv[1])
    try:
        call, found = _ranking(job) if job["race"] == "ranking" else _tucker(job)
    except ImportError as err:
        reply({"error": f"not installed: {err}. The peers come with: pip install 'mmkg_sdk[peers]'"})
        return
    except MemoryError:
        reply({"error": "out of memory"})
        return
    except Exception as err:  # whatever a peer raises, it is one row without a time, and the race goes on
        reply({"error": f"{'' if isinstance(err, MmkgError) else f'{type(err).__name__}: '}{err}"})
        return
    reply({"ready": True})
    for line in sys.stdin:
        samples: list[float] = []
        seconds = json.loads(line)["seconds"]
        began = time.perf_counter()
        while len(samples) < _MIN_SAMPLES or time.perf_counter() - began < seconds:
            start = time.perf_counter()
            call(len(samples) % _BATCHES)
            samples.append(1e3 * (time.perf_counter() - start))
        reply({"ms": samples, **found})


def _ranking(job: dict[str, Any]) -> Opened:
    point = Point(**job["point"])
    table = whole_table(point.rows, point.width, point.seed)
    batches = [random_batch(number, point.batch, point.width, point.seed) for number in range(_BATCHES)]
    answer = RANKERS[job["name"]].open(table, point.candidate_score, point.k, job["threads"], batches[0])
    del table  # one that made a copy needs it no more
    _check_patience(answer, batches[0], job["limit_s"])
    for queries in batches[1:]:
        answer(queries)
    found = answer(batches[0])
    agreement, error = ExactAnswers.read(job["exact"]).compared(found.ids, found.scores)
    return lambda number: answer(batches[number]), {
        "agreement": agreement,
        "max_score_error": error,
        "details": found.details,
    }


def _tucker(job: dict[str, Any]) -> Opened:
    point = TuckerPoint(**job["point"])
    weights = tucker_weights(point)
    batches = [tucker_inputs(point, number) for number in range(_BATCHES)]
    way = TUCKER_WAYS[job["name"]].open(*weights, job["threads"])
    for context, relation in batches[1:]:
        way(context, relation)
    errors = tucker_errors(weights, batches[0], way(*batches[0]))
    return lambda number: way(*batches[number]), errors


def _check_patience(answer: Answer, queries: Table, limit_s: float) -> None:
    """Try a few queries, and more where these make the batch look slow, for many answer faster than few.

    Raises:
        BackendError: the batch would take longer than the limit.
    """
    for tried in _TRIED:
        few = queries[:tried]
        answer(few)
        began = time.perf_counter()
        answer(few)
        expected_s = (time.perf_counter() - began) * len(queries) / len(few)
        if expected_s <= limit_s:
            return
        if len(few) == len(queries) or expected_s * _TRIED[-1] / len(queries) > limit_s:
            break
    raise BackendError(
        f"a batch would take about {expected_s:,.0f} s, by the time of its first {len(few)} queries; the limit is "
        f"{limit_s:g} s"
    )


if __name__ == "__main__":
    main()
