"""What a contender of a race does in its own process (machine/worker.py), at one point.

Its job has race ("ranking" or "tucker"), name, point, device, threads, limit_s, instruction_set and, for rankings,
exact (a file of ExactAnswers). A request is {"seconds": 1.0}; the reply {"ms": [...], "agreement": 1.0,
"max_score_error": 1e-6, "details": {...}}.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from typing import Any

from mmkg_sdk.errors import BackendError

from ..machine.instruction_set import hold_kernels_to
from ..machine.timing import samples_s
from ..machine.worker import Answer
from .exact_answers import ExactAnswers
from .peers import RANKERS
from .points import Point
from .random_table import random_batch, whole_table
from .rankers import Answer as Ranking
from .rankers import Table
from .tucker import TUCKER_WAYS, TuckerPoint, tucker_errors, tucker_inputs, tucker_weights

# Batches that take turns, so that no answer is at hand from the call before.
_BATCHES = 4

# So many queries tell how long the batch would take.
_TRIED = (32, 256)

# Answers batch number i, and what is known of the answers before the clock runs.
Opened = tuple[Callable[[int], Any], dict[str, Any]]


def open_worker(job: Mapping[str, Any]) -> Answer:
    """What answers requests.

    Raises:
        BackendError: the contender is not installed, or cannot run here.
    """
    hold_kernels_to(job["instruction_set"])
    try:
        call, found = _ranking(job) if job["race"] == "ranking" else _tucker(job)
    except ImportError as err:
        raise BackendError(f"not installed: {err}. The peers come with: pip install 'mmkg_sdk[peers]'") from err

    def answer(request: Mapping[str, Any]) -> dict[str, Any]:
        number = itertools.cycle(range(_BATCHES))
        samples = samples_s(lambda: call(next(number)), request["seconds"])
        return {"ms": [1e3 * spent for spent in samples], **found}

    return answer


def _ranking(job: Mapping[str, Any]) -> Opened:
    point = Point(**job["point"])
    table = whole_table(point.rows, point.width, point.seed)
    batches = [random_batch(number, point.batch, point.width, point.seed) for number in range(_BATCHES)]
    answer = RANKERS[job["name"]].open(table, point.candidate_score, point.k, job["threads"], batches[0], job["device"])
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


def _tucker(job: Mapping[str, Any]) -> Opened:
    point = TuckerPoint(**job["point"])
    weights = tucker_weights(point)
    batches = [tucker_inputs(point, number) for number in range(_BATCHES)]
    way = TUCKER_WAYS[job["name"]].open(*weights, job["threads"], job["device"])
    for context, relation in batches[1:]:
        way(context, relation)
    errors = tucker_errors(weights, batches[0], way(*batches[0]))
    return lambda number: way(*batches[number]), errors


def _check_patience(answer: Ranking, queries: Table, limit_s: float) -> None:
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
