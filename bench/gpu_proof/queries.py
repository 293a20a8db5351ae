"""Step "queries": MyGO's queries from ids to ids, as one CUDA graph and by separate launches: the same bits, and times.

NEVER RUN ON A GPU. In a rehearsal the CPU's kernels are asked both times.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mmkg_sdk.backends import AnyArray
from mmkg_sdk.backends.streams import own_stream
from mmkg_sdk.backends.tables import GpuRanking, TableRanking, rank_table
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.errors import BackendError
from mmkg_sdk.families import contract
from mmkg_sdk.families.runtimes import QueryStandIn
from mmkg_sdk.kernels import Scan
from mmkg_sdk.ranking.exact import TopK
from mmkg_sdk.ranking.known_triples import HEAD, TAIL, Queries
from mmkg_sdk.ranking.scores import InnerProduct

from .exactness import is_same
from .job import Job
from .record import Record

# Batches around the sizes of graphs, and answers.
CASES = ((1, 10), (15, 10), (16, 100), (17, 10), (65, 10), (256, 10), (256, 1000))
_SECONDS = 0.5  # of each case


def run(job: Job, record: Record) -> None:
    """A row for each case.

    Raises:
        BackendError: there is no bundle, or there are no kernels for it on the GPU.
    """
    if not (Path(job.bundle) / "bundle.json").is_file():
        raise BackendError(f"{job.bundle} holds no bundle: the step that makes it did not come to its end")
    bundle = Bundle.open(Path(job.bundle))
    query = contract.link_runtime(bundle.family).stand_ins(bundle, job.device, None).query
    if query is None:
        raise BackendError(f"there are no kernels for the queries of this bundle on {job.device}")
    ranking = rank_table(bundle.table, InnerProduct(), device=job.device)
    wrong = []
    for batch, k in CASES[:2] if job.rehearsed else CASES:
        row = check(bundle, query, ranking, batch, k, job.device, 0.01 if job.rehearsed else _SECONDS)
        record.add(**row)
        wrong += [] if row["right"] else [f"batch {batch}, k {k}"]
    if wrong:
        raise SystemExit(f"wrong answers: {'; '.join(wrong)}")


def check(
    bundle: Bundle, query: QueryStandIn, ranking: TableRanking, batch: int, k: int, device: str, seconds: float
) -> dict[str, Any]:
    """Ask random queries in both ways, alternately, with known answers left out.

    Returns:
        The case; "right": all of what follows is as it must be; captured: on a GPU, a graph answered; equals_launches,
        equals_cpu: ids and bits of scores, the latter of the CPU's scan for the same vectors; medians of the host's
        time in us.
    """
    random = np.random.default_rng(batch)
    relation = random.integers(len(bundle.relations), size=batch)
    queries = Queries(random.integers(len(bundle.table), size=batch), relation, random.choice([TAIL, HEAD], batch))
    known, maker, stream = bundle.known_triples.answers_of(queries), query.on_gpu(), own_stream(device)
    table = ranking.table if isinstance(ranking, GpuRanking) else bundle.table

    def vectors() -> AnyArray:
        placed = query.placed_query_vectors(table, queries, stream)
        return query.query_vectors(table, queries) if placed is None else placed

    def by_launches() -> TopK:
        return ranking.top_k(vectors(), k, known, None, stream)

    def by_graph() -> TopK | None:
        if maker is None or not isinstance(ranking, GpuRanking):
            return by_launches()
        return ranking.captured_top_k(maker, queries, k, known)

    found, expected = by_graph(), by_launches()
    cpu = Scan(bundle.table, InnerProduct(), storage="float32")
    checks = {
        "captured": found is not None,
        "equals_launches": found is not None and is_same(found, expected),
        "equals_cpu": is_same(expected, cpu.top_k(query.query_vectors(table, queries), k, known)),
    }
    times = _medians_us({"graph": by_graph, "launches": by_launches}, seconds)
    return {"batch": batch, "k": k, "right": all(checks.values()), **checks, **times}


def _medians_us(ways: dict[str, Callable[[], object]], seconds: float) -> dict[str, float]:
    taken: dict[str, list[float]] = {name: [] for name in ways}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for name, call in ways.items():
            began = time.perf_counter()
            call()
            taken[name].append(time.perf_counter() - began)
    return {f"{name}_us_p50": float(np.median(times)) * 1e6 for name, times in taken.items()}
