"""The timing itself, within the contender's own process. Times are wall clock, from a monotonic clock."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmkg_sdk.errors import BackendError

from ..machine.timing import MIN_SAMPLES, samples_s, seconds_of
from .arrivals import Served, schedule, serve
from .counts import random_entities
from .encoders import Encoder
from .questions import answers, questions, random_questions
from .sized_graphs import SizedGraph

COMPARED_ENTITIES = 64
MIN_QUERIES = 300
_WARM_QUERIES = 20
# Slow models end after this many times the measuring time, with fewer queries.
_PATIENCE = 10
# One sample encodes this share of a point's time, so that a point has about eight.
_SAMPLE_SHARE = 0.125
# Bounds the memory of one sample's tokens to about 40 MB.
_MAX_SAMPLE_TOKENS = 1 << 22


@dataclass(frozen=True)
class Rates:
    """Items per second of every sample, how many items a sample has, and how many of them go in at a time."""

    per_second: list[float]
    items_per_sample: int
    batch: int


def entity_rates(encoder: Encoder, token_count: int, batch: int | None = None, *, seconds: float, seed: int) -> Rates:
    """Encode random entities again and again for about `seconds`, at least three times, after a warm-up.

    The runs of a sample have different entities, so table rows are met as cold as in real work.

    Args:
        batch: entities per run; None leaves it to the encoder.
    """
    size = batch or encoder.own_batch(token_count)
    entities = random_entities(encoder.bundle, token_count, size, seed)
    encoder.encode(entities, size)
    once = min(seconds_of(partial(encoder.encode, entities, size)) for _ in range(2))
    runs = min(int(seconds * _SAMPLE_SHARE / once), _MAX_SAMPLE_TOKENS // (size * token_count))
    count = size * max(1, runs)
    entities = random_entities(encoder.bundle, token_count, count, seed)
    return _rates(partial(encoder.encode, entities, size), count, size, seconds)


def graph_rates(graph: SizedGraph, *, seconds: float) -> Rates:
    """Run a graph again and again for about `seconds`, at least three times, after a warm-up."""
    graph.run()
    once = seconds_of(graph.run)
    runs = max(1, int(seconds * _SAMPLE_SHARE / once))
    return _rates(lambda: [graph.run() for _ in range(runs)], runs * graph.items, graph.items, seconds)


def compared_vectors(encoder: Encoder, token_count: int, *, seed: int) -> NDArray[np.float32]:
    """The vectors of a few random entities, float32 [64, d]; the same entities for every contender.

    Raises:
        BackendError: if they hold NaN or infinity; a time for such an answer is worth nothing.
    """
    entities = random_entities(encoder.bundle, token_count, COMPARED_ENTITIES, seed)
    vectors = np.concatenate(encoder.encode(entities, COMPARED_ENTITIES))
    return _finite(vectors, encoder.graph, encoder.bundle.precision)


def compared_outputs(graph: SizedGraph, name: str, precision: str) -> NDArray[np.float32]:
    """All float outputs of one run in one row; the same inputs for every contender.

    Raises:
        BackendError: as for `compared_vectors`.
    """
    floats = [np.ravel(output) for output in graph.run().values() if output.dtype.kind == "f"]
    return _finite(np.concatenate(floats).astype(np.float32), name, precision)


def query_latencies_ms(opened: Any, *, seconds: float, seed: int) -> list[float]:
    """Milliseconds of single questions (questions.py), one after the other.

    At least 300, all different as chance has it, after 20 for warming up; of a model that takes long, as many as ten
    times `seconds` allow, three at the least.
    """
    asked = questions(opened, seed)
    for ask in islice(asked, 1):
        slow = seconds_of(ask) > seconds / _WARM_QUERIES
    for ask in islice(asked, 1 if slow else _WARM_QUERIES):
        ask()
    latencies: list[float] = []
    began = time.perf_counter()
    for ask in asked:
        latencies.append(1e3 * seconds_of(ask))
        spent, enough = time.perf_counter() - began, len(latencies) >= MIN_QUERIES
        if (enough and spent >= seconds) or (len(latencies) >= MIN_SAMPLES and spent >= _PATIENCE * seconds):
            break
    return latencies


def offline_rates(opened: Any, size: int, *, seconds: float, seed: int) -> Rates:
    """Answer lists of `size` questions for about `seconds`, at least three, after one for warming up."""
    lists = _lists(opened, size, seed)
    answers(opened, lists[0])
    turn = itertools.cycle(lists)
    return _rates(lambda: answers(opened, next(turn)), size, size, seconds)


def served(opened: Any, size: int, per_second: float, *, seconds: float, seed: int) -> Served:
    """Answer questions that arrive at a rate (arrivals.py), at most `size` in one call, after one for warming up."""
    asked = [question for questions in _lists(opened, size, seed) for question in questions]
    answers(opened, asked[:1])

    def answer(first: int, last: int) -> None:
        answers(opened, [asked[i % len(asked)] for i in range(first, last)])

    return serve(answer, schedule(per_second, seconds, seed), size)


def _lists(opened: Any, size: int, seed: int) -> list[list[Any]]:
    """Two lists of questions, so that a call does not meet those of the call before it; images take much room."""
    found = random_questions(opened, seed)
    return [list(islice(found, size)) for _ in range(2)]


def _rates(call: Callable[[], object], items: int, batch: int, seconds: float) -> Rates:
    return Rates([items / spent for spent in samples_s(call, seconds)], items, batch)


def _finite(outputs: NDArray[np.float32], graph: str, precision: str) -> NDArray[np.float32]:
    if not np.isfinite(outputs).all():
        raise BackendError(f"{graph} gave NaN or infinity in {precision}. Export with --precision fp32.")
    return outputs
