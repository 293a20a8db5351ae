"""Relation extraction: accuracy, and micro-averages over all relations but the negative class (MKGformer spec, 7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..answering.relation_extraction import Extractor, RelationMention
from ..data.layouts.sentences import NEGATIVE_CLASSES
from ..data.open import open_kind
from ..data.sentences import RelationData
from ..errors import DataError
from ..families import contract
from ..files.labels import Labels
from ..run import Run
from .reports import VALIDATION_STAND_IN

SELECTED = "micro_f1"


@dataclass(frozen=True)
class RelationReport:
    """What was found in the sentences of a split, and what is right.

    Attributes:
        found, right: int64 [sentences], rows of the relations.
        relations: the classes. The first of NEGATIVE_CLASSES among them means that there is no relation.
    """

    found: NDArray[np.int64]
    right: NDArray[np.int64]
    relations: Labels

    def metrics(self) -> dict[str, float]:
        """accuracy, micro_precision, micro_recall, micro_f1, from 0 to 1.

        The published ones are these times 100, rounded to four decimals.
        """
        negative = next((self.relations.find(name) for name in NEGATIVE_CLASSES if name in self.relations), -1)
        hits = self.found == self.right
        related = int((hits & (self.right != negative)).sum())
        precision = related / max(1, int((self.found != negative).sum()))
        recall = related / max(1, int((self.right != negative).sum()))
        f1 = 2 * precision * recall / (precision + recall) if related else 0.0
        return {
            "accuracy": float(hits.mean()),
            "micro_precision": precision,
            "micro_recall": recall,
            "micro_f1": f1,
        }

    def to_json(self) -> dict[str, Any]:
        """The metrics and what they were counted on."""
        return {"sentences": len(self.right), "relations": len(self.relations), **self.metrics()}


def evaluate_run(run: Run, model: Any, split: str) -> RelationReport:
    """Answer a split with the torch model of a run.

    Args:
        model: on its device; left in eval mode.
        split: "train", "valid" or "test"; an empty validation split is replaced by 1,000 training sentences.
    """
    right = run.tensors(f"sentences-{split}")["labels"]
    if split == "valid" and not len(right):
        split, right = "train", run.tensors("sentences-train")["labels"][:VALIDATION_STAND_IN]
    scores = contract.sentence_scoring(run.family).relation_scores(model, run, split, len(right))
    return relation_report(scores, right, run.labels["relations"])


def evaluate_bundle(extractor: Extractor, split: str, data: str | None) -> RelationReport:
    """Answer a split of a data set with an opened bundle. An image that cannot be read is none, with a warning.

    Args:
        data: as `open_data` takes it; a bundle holds no sentences.

    Raises:
        DataError: no data, of another kind, or with a relation that the bundle does not have.
    """
    if data is None:
        raise DataError("a relation extraction bundle holds no sentences; name the data set with --data.")
    found = open_kind(data, RelationData)
    sentences, relations = found.split(split), extractor.relations
    if unknown := {one.relation for one in sentences} - set(relations):
        raise DataError(
            f"{found.name}: relation {min(unknown)!r:.120} is not in {extractor.bundle.path}. Pass the data set that "
            "the model was trained on."
        )
    mentions = [RelationMention(one.words, one.head, one.tail, extractor.seen_images(one.images)) for one in sentences]
    right = np.array([relations.find(one.relation) for one in sentences], np.int64)
    return relation_report(extractor.score_relations(mentions, unreadable="none"), right, relations)


def relation_report(scores: NDArray[Any], right: NDArray[np.int64], relations: Labels) -> RelationReport:
    """The best-scored relations (of equal ones the first) against the right ones.

    Raises:
        DataError: if there is no sentence.
    """
    if not len(right):
        raise DataError("this split has no sentences, so there is nothing to evaluate. Choose another split.")
    return RelationReport(scores.argmax(axis=1), right, relations)
