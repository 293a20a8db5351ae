"""Filtered link prediction, both directions: mean rank, MRR and Hits@k as the field reports them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..answering.link_prediction import Model
from ..backends.tables import rank_table
from ..errors import DataError
from ..families import contract
from ..families.link_prediction import LinkScorer
from ..files.labels import Labels
from ..ranking.exact import RankingProtocol, Ranks, filtered_ranks
from ..ranking.known_triples import HEAD, TAIL, AnswerLists, KnownTriples, Queries
from ..ranking.scores import CandidateScore
from ..run import Run
from .reports import VALIDATION_STAND_IN

SELECTED = "mrr"
Ties = Literal["published", "realistic"]
# Scores all entities for a chunk of queries: float32 [batch, num_entities].
Scorer = Callable[[Queries], NDArray[np.float32]]
# Ranks the right answers int64 [batch] of a chunk of queries, given all known ones.
Ranker = Callable[[Queries, NDArray[np.int64], AnswerLists, RankingProtocol], Ranks]
QUERY_CHUNK = 512


@dataclass(frozen=True)
class LinkPredictionReport:
    """Ranks of all queries of one split.

    Attributes:
        triples: int64 [n, 3], the triples asked for.
        ranks: per tie rule, float64 [n, 2]: rank of the head given the rest, rank of the tail given the rest.
        relations: labels of the relations, for `by_relation`.
    """

    triples: NDArray[np.int64]
    ranks: dict[Ties, NDArray[np.float64]]
    relations: Labels

    def metrics(self, ties: Ties = "published") -> dict[str, float]:
        """mean_rank, mrr, hits_at_1, hits_at_3, hits_at_10 over both directions (float64 means)."""
        return rank_metrics(self.ranks[ties].ravel())

    def by_side(self, ties: Ties = "published") -> dict[str, dict[str, float]]:
        """The metrics of head and tail queries apart."""
        return {side: rank_metrics(self.ranks[ties][:, column]) for column, side in enumerate(("head", "tail"))}

    def by_relation(self, ties: Ties = "published") -> dict[str, dict[str, float]]:
        """The metrics of every relation of the split, with its number of triples, most frequent first."""
        ids, counts = np.unique(self.triples[:, 1], return_counts=True)
        table = {}
        for i in np.lexsort((ids, -counts)):
            ranks = self.ranks[ties][self.triples[:, 1] == ids[i]].ravel()
            table[self.relations[int(ids[i])]] = {"triples": float(counts[i]), **rank_metrics(ranks)}
        return table

    def to_json(self) -> dict[str, Any]:
        """The metrics and what they were counted on, with those of realistic ties beside them."""
        return {"queries": 2 * len(self.triples), **self.metrics(), "realistic": self.metrics("realistic")}


def evaluate_run(run: Run, model: Any, split: str, *, answer_pictured: bool = False) -> LinkPredictionReport:
    """Rank a split with the torch model of a run.

    Args:
        model: on its device; left in eval mode.
        split: "train", "valid" or "test"; an empty validation split is replaced by 1,000 training triples.
        answer_pictured: see `rank_triples`.
    """
    graph = run.graph
    triples = graph.split(split)
    if split == "valid" and not len(triples):
        triples = graph.train[:VALIDATION_STAND_IN]
    known, protocol = KnownTriples(graph.triples), model.config.protocol
    scorer = contract.link_scoring(run.family).scorer(model, run)
    rank = scorer.rank if scorer.table is None else _by_table(scorer, model.config.candidate_score)
    return rank_triples(rank, triples, known, protocol, graph.relations, answer_pictured=answer_pictured)


def evaluate_bundle(
    model: Model, split: str, data: str | None, *, answer_pictured: bool = False
) -> LinkPredictionReport:
    """Rank a split with an opened bundle, which holds the triples.

    Args:
        answer_pictured: see `rank_triples`.

    Raises:
        DataError: other data are given.
    """
    if data is not None:
        raise DataError("a link prediction bundle holds its triples; leave --data out.")
    bundle = model.bundle
    return rank_triples(
        model.rank_answers,
        bundle.triples[split],
        bundle.known_triples,
        contract.link_config(bundle.config).protocol,
        model.relations,
        answer_pictured=answer_pictured,
    )


def evaluate_link_prediction(
    scorer: Scorer,
    triples: NDArray[np.int64],
    known: KnownTriples,
    protocol: RankingProtocol,
    relations: Labels | None = None,
) -> LinkPredictionReport:
    """`rank_triples` by the scores of all entities for a chunk of queries."""
    return rank_triples(_by_scores(scorer), triples, known, protocol, relations)


def rank_triples(
    ranker: Ranker,
    triples: NDArray[np.int64],
    known: KnownTriples,
    protocol: RankingProtocol,
    relations: Labels | None = None,
    *,
    answer_pictured: bool = False,
) -> LinkPredictionReport:
    """Ask for the head and the tail of every triple and rank the right answer among all entities.

    Args:
        ranker: ranks the right answers of a chunk of queries.
        triples: int64 [n, 3], for example the test split.
        known: train, valid and test together; known answers other than the right one do not count.
        protocol: the family's rule for equal scores and known answers.
        relations: their labels, for `by_relation`.
        answer_pictured: show the images of the right answer instead of the known entity's. It gives the answer away,
            as in the first published evaluation of MKGformer on FB15k-237; families without query images ignore it.

    Raises:
        DataError: if there is no triple.
    """
    if not len(triples):
        raise DataError("this split has no triples, so there is nothing to evaluate. Choose another split.")
    ranks: dict[Ties, NDArray[np.float64]] = {name: np.empty((len(triples), 2)) for name in ("published", "realistic")}
    for column, (direction, answer) in enumerate(((HEAD, 0), (TAIL, 2))):
        queries = Queries.for_triples(triples, direction, answer_pictured=answer_pictured)
        # A query with several right answers recurs; side by side, it is encoded once.
        order = np.lexsort((queries.shown, queries.entity, queries.relation))
        for start in range(0, len(triples), QUERY_CHUNK):
            chunk = order[start : start + QUERY_CHUNK]
            found = ranker(queries[chunk], triples[chunk, answer], known.answers_of(queries[chunk]), protocol)
            ranks["published"][chunk, column] = found.published
            ranks["realistic"][chunk, column] = found.realistic
    return LinkPredictionReport(triples, ranks, relations or Labels([], kind="relation"))


def _by_scores(scorer: Scorer) -> Ranker:
    def rank(queries: Queries, targets: NDArray[np.int64], answers: AnswerLists, protocol: RankingProtocol) -> Ranks:
        asked, places = queries.distinct()
        return filtered_ranks(scorer(asked)[places], targets, answers, protocol)

    return rank


def _by_table(scorer: LinkScorer, score: CandidateScore) -> Ranker:
    assert scorer.table is not None
    ranking = rank_table(scorer.table, score)

    def rank(queries: Queries, targets: NDArray[np.int64], answers: AnswerLists, protocol: RankingProtocol) -> Ranks:
        asked, places = queries.distinct()
        return ranking.ranks(scorer.query_vectors(asked)[places], targets, answers, protocol)

    return rank


def rank_metrics(ranks: NDArray[np.float64]) -> dict[str, float]:
    """mean_rank, mrr and hits_at_k of a flat array of ranks."""
    metrics = {"mean_rank": float(ranks.mean()), "mrr": float((1.0 / ranks).mean())}
    return metrics | {f"hits_at_{k}": float((ranks <= k).mean()) for k in (1, 3, 10)}
