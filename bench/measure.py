"""The timing itself, within the contender's own process. Times are wall clock, from a monotonic clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmkg_sdk.errors import BackendError
from mmkg_sdk.model import ENTITY_CHUNK_TOKENS, Model

from .inputs import random_entities
from .questions import questions
from .sized_graphs import SizedGraph

COMPARED_ENTITIES = 64
MIN_SAMPLES = 3
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
    """Items per second of every sample, and how many items a sample has."""

    per_second: list[float]
    items_per_sample: int


def entity_rates(model: Model, graph: str, token_count: int, *, seconds: float, seed: int) -> Rates:
    """Encode random entities again and again for about `seconds`, at least three times, after a warm-up.

    The chunks of a sample hold different entities, so table rows are met as cold as in real work.
    """
    count = max(1, ENTITY_CHUNK_TOKENS // token_count)
    batch = random_entities(model.bundle, token_count, count, seed)
    model.encode_batch(batch, graph)  # opens the session
    once = min(_seconds(lambda: model.encode_batch(batch, graph)) for _ in range(2))
    chunks = min(int(seconds * _SAMPLE_SHARE / once), _MAX_SAMPLE_TOKENS // (count * token_count))
    count *= max(1, chunks)
    batch = random_entities(model.bundle, token_count, count, seed)
    return _rates(lambda: model.encode_batch(batch, graph), count, seconds)


def graph_rates(graph: SizedGraph, *, seconds: float) -> Rates:
    """Run a graph again and again for about `seconds`, at least three times, after a warm-up."""
    graph.run()
    once = _seconds(graph.run)
    runs = max(1, int(seconds * _SAMPLE_SHARE / once))
    return _rates(lambda: [graph.run() for _ in range(runs)], runs * graph.items, seconds)


def compared_vectors(model: Model, graph: str, token_count: int, *, seed: int) -> NDArray[np.float32]:
    """The vectors of a few random entities, float32 [64, d]; the same entities for every contender.

    Raises:
        BackendError: if they hold NaN or infinity; a time for such an answer is worth nothing.
    """
    batch = random_entities(model.bundle, token_count, COMPARED_ENTITIES, seed)
    return _finite(model.encode_batch(batch, graph)["vectors"], graph, model.bundle.precision)


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
        slow = _seconds(ask) > seconds / _WARM_QUERIES
    for ask in islice(asked, 1 if slow else _WARM_QUERIES):
        ask()
    latencies: list[float] = []
    began = time.perf_counter()
    for ask in asked:
        latencies.append(1e3 * _seconds(ask))
        spent, enough = time.perf_counter() - began, len(latencies) >= MIN_QUERIES
        if (enough and spent >= seconds) or (len(latencies) >= MIN_SAMPLES and spent >= _PATIENCE * seconds):
            break
    return latencies


def _rates(call: Callable[[], object], items: int, seconds: float) -> Rates:
    samples: list[float] = []
    began = time.perf_counter()
    while len(samples) < MIN_SAMPLES or time.perf_counter() - began < seconds:
        samples.append(items / _seconds(call))
    return Rates(samples, items)


def _finite(vectors: NDArray[np.float32], graph: str, precision: str) -> NDArray[np.float32]:
    if not np.isfinite(vectors).all():
        raise BackendError(f"{graph} gave NaN or infinity in {precision}. Export with --precision fp32.")
    return vectors


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
