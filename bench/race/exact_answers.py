"""The exact answers of a race in float64, once for every table, in memory that does not grow with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmkg_sdk.ranking.scores import CandidateScore, InnerProduct

from .random_table import random_batch, table_blocks

# So many queries of the first batch are compared; more would take longer than what is measured.
COMPARED_QUERIES = 32


@dataclass(frozen=True)
class ExactAnswers:
    """Attributes:
    ids: int64 [queries, k], best first.
    scores: float64 [queries, k].
    """

    ids: NDArray[np.int64]
    scores: NDArray[np.float64]

    def save(self, path: Path) -> None:
        np.savez(path, ids=self.ids, scores=self.scores)

    @classmethod
    def read(cls, path: str | Path) -> ExactAnswers:
        with np.load(path, allow_pickle=False) as found:
            return cls(found["ids"], found["scores"])

    def compared(self, ids: NDArray[np.int64], scores: NDArray[np.floating]) -> tuple[float, float]:
        """How right an answer is.

        Args:
            ids, scores: [batch, k] of the same queries, best first; those beyond COMPARED_QUERIES are left out.

        Returns:
            The share of ids that are among the k exact ones, and the largest difference of a score from the exact
            score at its place.
        """
        k = ids.shape[1]
        pairs = list(zip(ids, self.ids[:, :k], strict=False))
        share = float(np.mean([np.isin(found, exact).mean() for found, exact in pairs]))
        return share, float(np.abs(scores[: len(pairs)].astype(np.float64) - self.scores[: len(pairs), :k]).max())


def exact_answers(rows: int, width: int, seed: int, score: CandidateScore, batch: int, k: int) -> ExactAnswers:
    """Of the first queries of the first batch.

    Args:
        batch: of the race; at most COMPARED_QUERIES count.
    """
    queries = random_batch(0, min(batch, COMPARED_QUERIES), width, seed).astype(np.float64)
    ids: NDArray[Any] = np.empty((len(queries), 0), np.int64)
    scores: NDArray[Any] = np.empty((len(queries), 0))
    for start, block in table_blocks(rows, width, seed):
        found = _scores(queries, block.astype(np.float64), score)
        scores = np.concatenate([scores, found], axis=1)
        ids = np.concatenate([ids, np.broadcast_to(np.arange(start, start + len(block)), found.shape)], axis=1)
        if scores.shape[1] > k:
            kept = np.argpartition(-scores, k - 1, axis=1)[:, :k]
            ids, scores = np.take_along_axis(ids, kept, axis=1), np.take_along_axis(scores, kept, axis=1)
    order = np.argsort(-scores, axis=1)
    return ExactAnswers(np.take_along_axis(ids, order, axis=1), np.take_along_axis(scores, order, axis=1))


def _scores(queries: NDArray[np.float64], block: NDArray[np.float64], score: CandidateScore) -> NDArray[np.float64]:
    """float64 [queries, block]."""
    if isinstance(score, InnerProduct):
        found: NDArray[np.float64] = queries @ block.T
        return found
    half = block.shape[1] // 2
    distances = [np.hypot((block - query)[:, :half], (block - query)[:, half:]).sum(axis=1) for query in queries]
    return -np.stack(distances)
