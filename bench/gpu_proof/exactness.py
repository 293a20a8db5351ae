"""Step "kernels": are the answers right? Fresh numbers, ties and exclusions, against float64 and the CPU's kernels.

NEVER RUN ON A GPU. In a rehearsal the CPU's kernels are asked in place of the GPU's.
"""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmkg_sdk.backends.tables import TableRanking, rank_table
from mmkg_sdk.errors import BackendError
from mmkg_sdk.kernels import Scan
from mmkg_sdk.kernels.gpu import gpu_kernels_absence
from mmkg_sdk.ranking.exact import RankingProtocol, TopK
from mmkg_sdk.ranking.known_triples import AnswerLists
from mmkg_sdk.ranking.scores import InnerProduct

from .job import Job
from .record import Record

WIDTH = 256
# Rows that float64 scores at a time.
_BLOCK = 1 << 16
# Products of 256 numbers near 1 that were rounded to float32 as they were summed.
SCORE_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Case:
    """Sizes that are multiples of nothing. With ties, numbers are halves and half of the rows are there twice."""

    batch: int
    rows: int
    k: int
    ties: bool
    width: int = WIDTH


CASES = (
    Case(1, 300, 10, False),
    Case(130, 1000, 10, True),
    Case(33, 15_001, 100, False),
    Case(257, 70_001, 10, False),
    Case(5, 1_000_003, 100, False),
    Case(17, 5_003, 10, True, 96),
    Case(2048, 15_000, 10, True),
)
TINY = (Case(1, 300, 10, False, 32), Case(13, 1000, 10, True, 32))


def run(job: Job, record: Record) -> None:
    """A row for each case.

    Raises:
        BackendError: no kernels for the GPU, or an answer was wrong.
    """
    wrong = []
    for case in TINY if job.rehearsed else CASES:
        row = check(case, secrets.randbits(32), job.device, on_gpu=not job.rehearsed)
        record.add(**row)
        wrong += [str(case)] if not row["right"] else []
    if wrong:
        # Not a BackendError: this step was measured, and failed.
        raise SystemExit(f"wrong answers: {'; '.join(wrong)}")


def check(case: Case, seed: int, device: str, *, on_gpu: bool) -> dict[str, Any]:
    """Ask once more than once, and compare.

    Returns:
        The case and its seed; "right": all of what follows is as it must be; worst_gap: the most that float64 scores of
        the answers fall short of the best ones; score_error: of the scores given; ordered, same_twice, equals_cpu (ids
        and bits of scores), ranks_equal_cpu.
    """
    random = np.random.default_rng(seed)
    table, queries = (random.standard_normal((count, case.width), np.float32) for count in (case.rows, case.batch))
    if case.ties:
        table, queries = (np.round(2 * array).astype(np.float32) / np.float32(2) for array in (table, queries))
        table[case.rows // 2 :] = table[: case.rows - case.rows // 2]
    best = _best(table, queries, 3 * case.k)
    excluded = _excluded(best[0], case.k, random)
    ranking = rank_table(table, InnerProduct(), device=device)
    if on_gpu and not ranking.on_device:
        why = gpu_kernels_absence(device) or f"tables are ranked by {ranking.name}"
        raise BackendError(f"there are no kernels for {device}: {why}")
    found, again = (ranking.top_k(queries, case.k, excluded) for _ in range(2))
    cpu = Scan(table, InnerProduct(), storage="float32")
    gap, error = _against_float64(found, best, excluded, case.k, table, queries)
    checks = {
        "ordered": _is_ordered(found, case.k),
        "same_twice": is_same(found, again),
        "equals_cpu": is_same(found, cpu.top_k(queries, case.k, excluded)),
        "ranks_equal_cpu": _same_ranks(ranking, cpu, queries, excluded, random, case.rows),
    }
    right = all(checks.values()) and gap <= SCORE_TOLERANCE and error <= SCORE_TOLERANCE
    return {**asdict(case), "seed": seed, "right": right, "worst_gap": gap, "score_error": error, **checks}


def _best(table: NDArray[np.float32], queries: NDArray[np.float32], count: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Ids and float64 scores of the best rows, [batch, count], best first."""
    count = min(count, len(table))
    asked = queries.astype(np.float64)
    ids, scores = np.empty((len(queries), 0), np.int64), np.empty((len(queries), 0))
    for start in range(0, len(table), _BLOCK):
        found = asked @ table[start : start + _BLOCK].astype(np.float64).T
        scores = np.concatenate([scores, found], axis=1)
        here = np.arange(start, start + found.shape[1])
        ids = np.concatenate([ids, np.broadcast_to(here, found.shape)], axis=1)
        kept = np.argsort(-scores, axis=1, kind="stable")[:, :count]
        ids, scores = np.take_along_axis(ids, kept, axis=1), np.take_along_axis(scores, kept, axis=1)
    return ids, scores


def _excluded(best: NDArray[np.int64], k: int, random: np.random.Generator) -> AnswerLists:
    """Of each query some of its best rows: none of the first query's, and up to 2 k of the others'."""
    lists = [
        np.sort(random.choice(row, min(len(row) - k, i % (2 * k + 1)) if len(row) > k else 0, replace=False))
        for i, row in enumerate(best)
    ]
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in lists])]).astype(np.int64)
    return AnswerLists(offsets, np.concatenate(lists).astype(np.int64))


def _against_float64(
    found: TopK,
    best: tuple[NDArray[Any], NDArray[Any]],
    excluded: AnswerLists,
    k: int,
    table: NDArray[np.float32],
    queries: NDArray[np.float32],
) -> tuple[float, float]:
    gap = error = 0.0
    for i, query in enumerate(queries.astype(np.float64)):
        hidden = excluded.part(i, i + 1).ids
        wanted = best[1][i][~np.isin(best[0][i], hidden)][:k]
        rows = slice(found.offsets[i], found.offsets[i + 1])
        ids = found.ids[rows]
        if np.isin(ids, hidden).any() or len(set(ids.tolist())) != len(wanted):
            return float("inf"), float("inf")
        exact = table[ids].astype(np.float64) @ query
        gap = max(gap, float(np.abs(np.sort(exact)[::-1] - wanted).max()))
        error = max(error, float(np.abs(found.scores[rows] - exact).max()))
    return gap, error


def _is_ordered(found: TopK, k: int) -> bool:
    """Scores fall; equal ones have ascending ids."""
    starts = set(found.offsets.tolist())
    for at in range(1, len(found.ids)):
        before, after = found.scores[at - 1], found.scores[at]
        if at not in starts and (after > before or (after == before and found.ids[at] <= found.ids[at - 1])):
            return False
    return True


def is_same(one: TopK, other: TopK) -> bool:
    """Ids, and the bits of the scores."""
    bits, others = (found.scores.view(np.uint32) for found in (one, other))
    return bool(np.array_equal(one.ids, other.ids) and np.array_equal(bits, others))


def _same_ranks(
    ranking: TableRanking,
    cpu: Scan,
    queries: NDArray[np.float32],
    known: AnswerLists,
    random: np.random.Generator,
    rows: int,
) -> bool:
    targets, protocol = random.integers(rows, size=len(queries)), RankingProtocol("floor")
    one, other = (way.ranks(queries, targets, known, protocol) for way in (ranking, cpu))
    return bool(np.array_equal(one.published, other.published) and np.array_equal(one.realistic, other.realistic))
