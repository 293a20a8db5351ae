"""LinkSubject: a bundle of link prediction whose entities are encoded from tokens or features."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mmkg_sdk.answering.link_prediction import Model
from mmkg_sdk.errors import DataError
from mmkg_sdk.evaluation.link_prediction import rank_triples
from mmkg_sdk.families import contract
from mmkg_sdk.families.entity_batch import EntityBatch

from .conditions import Outcome


class LinkSubject:
    """Triples are ranked by the published protocol; of each counts the mean reciprocal rank of its head and its tail.

    Args:
        split: whose triples.
        most: so many of them at most, drawn at random with seed 0.
    """

    metric, items, unit = "mrr", "triples", "entities"

    def __init__(self, model: Model, split: str, most: int) -> None:
        self._model = model
        triples = model.bundle.triples[split]
        if not len(triples):
            raise DataError(f"{model.bundle.path} has no {split} triples. Choose another split.")
        if len(triples) > most:
            triples = triples[np.sort(np.random.default_rng(0).permutation(len(triples))[:most])]
        self._triples = triples
        self._protocol = contract.link_config(model.bundle.config).protocol

    def measure(self, given: EntityBatch | None) -> Outcome:
        """See Subject; None before anything else, for what was encoded stays."""
        if given is not None:
            self._model.encode_again(given)
        known = self._model.bundle.known_triples
        report = rank_triples(self._model.rank_answers, self._triples, known, self._protocol, self._model.relations)
        return Outcome(report.metrics(), (1 / report.ranks["published"]).mean(axis=1)[:, None])

    def value(self, sums: NDArray[np.float64], count: int) -> NDArray[np.float64]:
        """See Subject."""
        return sums[..., 0] / count

    def run_once(self, given: EntityBatch) -> int:
        """See Subject."""
        self._model.encode_batch(given)
        return len(given)
