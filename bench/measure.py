"""The timing itself, within the contender's own process. Times are wall clock, from a monotonic clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mmkg_sdk.errors import BackendError
from mmkg_sdk.model import ENTITY_CHUNK_TOKENS, Model

from .inputs import random_entities, random_queries

COMPARED_ENTITIES = 64
MIN_SAMPLES = 3
MIN_QUERIES = 300
_MAX_QUERIES = 10_000
_WARM_QUERIES = 20
# One sample encodes this share of a point's time, so that a point has about eight.
_SAMPLE_SHARE = 0.125
# Bounds the memory of one sample's tokens to about 40 MB.
_MAX_SAMPLE_TOKENS = 1 << 22
_K = 10


@dataclass(frozen=True)
class Rates:
    """Entities per second of every sample, and how many entities a sample encoded."""

    entities_per_second: list[float]
    entities_per_sample: int


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
    samples: list[float] = []
    began = time.perf_counter()
    while len(samples) < MIN_SAMPLES or time.perf_counter() - began < seconds:
        samples.append(count / _seconds(lambda: model.encode_batch(batch, graph)))
    return Rates(samples, count)


def compared_vectors(model: Model, graph: str, token_count: int, *, seed: int) -> np.ndarray:
    """The vectors of a few random entities, float32 [64, d]; the same entities for every contender.

    Raises:
        BackendError: if they hold NaN or infinity; a time for such an answer is worth nothing.
    """
    batch = random_entities(model.bundle, token_count, COMPARED_ENTITIES, seed)
    vectors = model.encode_batch(batch, graph)["vectors"]
    if not np.isfinite(vectors).all():
        raise BackendError(f"{graph} gave NaN or infinity in {model.bundle.precision}. Export with --precision fp32.")
    return vectors


def query_latencies_ms(model: Model, *, seconds: float, seed: int) -> list[float]:
    """Milliseconds of single queries, one after the other: (head, relation) labels in, ten labels out.

    At least 300 queries, all different as chance has it, after 20 for warming up.
    """
    queries = random_queries(model.bundle, _WARM_QUERIES + _MAX_QUERIES, seed)
    asked = [(model.entities[int(head)], model.relations[int(relation)]) for head, relation in queries]
    for head, relation in asked[:_WARM_QUERIES]:
        model.predict_tails(head, relation, k=_K)
    latencies: list[float] = []
    began = time.perf_counter()
    for head, relation in asked[_WARM_QUERIES:]:
        start = time.perf_counter()
        answer = model.predict_tails(head, relation, k=_K)[0].labels
        latencies.append(1e3 * (time.perf_counter() - start))
        assert len(answer) <= _K
        if len(latencies) >= MIN_QUERIES and time.perf_counter() - began >= seconds:
            break
    return latencies


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
