"""Filtered link prediction, both directions: mean rank, MRR and Hits@k as the field reports them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..known_triples import HEAD, TAIL, KnownTriples, Queries
from ..labels import Labels
from ..ranking import filtered_ranks

Ties = Literal["published", "realistic"]
# Scores all entities for a chunk of queries: float32 [batch, num_entities].
Scorer = Callable[[Queries], NDArray[np.float32]]
QUERY_CHUNK = 512


@dataclass(frozen=True)
class LinkPredictionReport:
    """Ranks of all queries of one split.

    Attributes:
        triples: int64 [n, 3], the triples asked for.
        ranks: per tie rule, float64 [n, 2]: rank of the head given the rest, rank of the tail given the rest.
    """

    triples: NDArray[np.int64]
    ranks: dict[Ties, NDArray[np.float64]]

    def metrics(self, ties: Ties = "published") -> dict[str, float]:
        """mean_rank, mrr, hits_at_1, hits_at_3, hits_at_10 over both directions (float64 means)."""
        return rank_metrics(self.ranks[ties].ravel())

    def by_side(self, ties: Ties = "published") -> dict[str, dict[str, float]]:
        """The metrics of head and tail queries apart."""
        return {side: rank_metrics(self.ranks[ties][:, column]) for column, side in enumerate(("head", "tail"))}

    def by_relation(self, relations: Labels, ties: Ties = "published") -> dict[str, dict[str, float]]:
        """The metrics of every relation of the split, with its number of triples, most frequent first."""
        ids, counts = np.unique(self.triples[:, 1], return_counts=True)
        table = {}
        for i in np.lexsort((ids, -counts)):
            ranks = self.ranks[ties][self.triples[:, 1] == ids[i]].ravel()
            table[relations[int(ids[i])]] = {"triples": float(counts[i]), **rank_metrics(ranks)}
        return table

    def to_json(self) -> dict[str, Any]:
        return {"queries": 2 * len(self.triples), **self.metrics(), "realistic": self.metrics("realistic")}


def evaluate_link_prediction(scorer: Scorer, triples: NDArray[np.int64], known: KnownTriples) -> LinkPredictionReport:
    """Ask for the head and the tail of every triple and rank the right answer among all entities.

    Args:
        scorer: gives the scores of all entities for a chunk of queries.
        triples: int64 [n, 3], for example the test split.
        known: train, valid and test together; known answers other than the right one do not count.

    Raises:
        DataError: if there is no triple.
    """
    if not len(triples):
        raise DataError("this split has no triples, so there is nothing to evaluate. Choose another split.")
    ranks: dict[Ties, NDArray[np.float64]] = {name: np.empty((len(triples), 2)) for name in ("published", "realistic")}
    for column, (direction, answer) in enumerate(((HEAD, 0), (TAIL, 2))):
        queries = Queries.for_triples(triples, direction)
        for start in range(0, len(triples), QUERY_CHUNK):
            chunk = slice(start, start + QUERY_CHUNK)
            found = filtered_ranks(scorer(queries[chunk]), triples[chunk, answer], known.answers(queries[chunk]))
            ranks["published"][chunk, column] = found.published
            ranks["realistic"][chunk, column] = found.realistic
    return LinkPredictionReport(triples, ranks)


def rank_metrics(ranks: NDArray[np.float64]) -> dict[str, float]:
    """mean_rank, mrr and hits_at_k of a flat array of ranks."""
    metrics = {"mean_rank": float(ranks.mean()), "mrr": float((1.0 / ranks).mean())}
    return metrics | {f"hits_at_{k}": float((ranks <= k).mean()) for k in (1, 3, 10)}
