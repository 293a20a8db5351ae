"""LinkSubject: a bundle of link prediction whose entities are encoded from tokens or features."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mmkg_sdk.answering.link_prediction import Model
from mmkg_sdk.errors import DataError
from mmkg_sdk.evaluation.link_prediction import Ranker, rank_triples
from mmkg_sdk.families import contract
from mmkg_sdk.families.entity_batch import EntityBatch

from .conditions import Outcome


class RankedTriples:
    """Triples are ranked by the published protocol; of each counts the mean reciprocal rank of its head and its tail.

    Args:
        split: whose triples.
        most: so many of them at most, drawn at random with seed 0.
    """

    metric, items = "mrr", "triples"

    def __init__(self, model: Model, split: str, most: int) -> None:
        self.model = model
        triples = model.bundle.triples[split]
        if not len(triples):
            raise DataError(f"{model.bundle.path} has no {split} triples. Choose another split.")
        if len(triples) > most:
            triples = triples[np.sort(np.random.default_rng(0).permutation(len(triples))[:most])]
        self.triples = triples
        self._protocol = contract.link_config(model.bundle.config).protocol

    def outcome(self, ranker: Ranker) -> Outcome:
        """What comes of a ranker."""
        known = self.model.bundle.known_triples
        report = rank_triples(ranker, self.triples, known, self._protocol, self.model.relations)
        return Outcome(report.metrics(), (1 / report.ranks["published"]).mean(axis=1)[:, None])

    def value(self, sums: NDArray[np.float64], count: int) -> NDArray[np.float64]:
        """See Subject."""
        return sums[..., 0] / count


class LinkSubject(RankedTriples):
    """Of a model whose entities are encoded from tokens or features, which change."""

    unit = "entities"

    def measure(self, given: EntityBatch | None) -> Outcome:
        """See Subject; None before anything else, for what was encoded stays."""
        if given is not None:
            self.model.encode_again(given)
        return self.outcome(self.model.rank_answers)

    def run_once(self, given: EntityBatch) -> int:
        """See Subject."""
        self.model.encode_batch(given)
        return len(given)
