"""Relation extraction: accuracy, and micro-averages over all relations but the negative class (MKGformer spec, 7).

A sentence whose head or tail begins behind what the model reads has no answer, and counts as answered wrongly: so
models of any length are measured on the same sentences. The authors' program ends with an error there.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
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
from .reports import VALIDATION_STAND_IN, micro_averages

SELECTED = "micro_f1"
NO_ANSWER = -2  # -1 stands for "no negative class"

_NOBODY = np.empty(0, np.int64)


@dataclass(frozen=True)
class RelationReport:
    """What was found in the sentences of a split, and what is right.

    Attributes:
        found, right: int64 [sentences], rows of the relations; NO_ANSWER in `found` for what the model cannot read.
        relations: the classes. The first of NEGATIVE_CLASSES among them means that there is no relation.
    """

    found: NDArray[np.int64]
    right: NDArray[np.int64]
    relations: Labels

    def metrics(self) -> dict[str, float]:
        """accuracy, micro_precision, micro_recall, micro_f1, from 0 to 1.

        The published ones are these times 100, rounded to four decimals.
        """
        averages = micro_averages(self.counts)
        accuracy = float((self.found == self.right).mean())
        return {"accuracy": accuracy} | {f"micro_{name}": value for name, value in averages.items()}

    @property
    def counts(self) -> NDArray[np.int64]:
        """int64 [sentences, 3]: whether the right relation was found, whether one was, whether there is one."""
        negative = next((self.relations.find(name) for name in NEGATIVE_CLASSES if name in self.relations), -1)
        found, right = (self.found != negative) & (self.found != NO_ANSWER), self.right != negative
        return np.stack([(self.found == self.right) & right, found, right], axis=1).astype(np.int64)

    def to_json(self) -> dict[str, Any]:
        """The metrics and what they were counted on."""
        counts = {"sentences": len(self.right), "unread": int((self.found == NO_ANSWER).sum())}
        return {**counts, "relations": len(self.relations), **self.metrics()}


def evaluate_run(run: Run, model: Any, split: str) -> RelationReport:
    """Answer a split with the torch model of a run.

    Args:
        model: on its device; left in eval mode.
        split: "train", "valid" or "test"; an empty validation split is replaced by 1,000 training sentences.
    """
    sentences = run.tensors(f"sentences-{split}")
    right, unread = sentences["labels"], sentences.get("unread", _NOBODY)  # which runs of older versions lack
    if split == "valid" and not len(right) + len(unread):
        split, right = "train", run.tensors("sentences-train")["labels"][:VALIDATION_STAND_IN]
    scores = contract.sentence_scoring(run.family).relation_scores(model, run, split, len(right))
    return relation_report(scores, right, run.labels["relations"], unread)


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
    right = relation_rows(relations, extractor.bundle.path, found, split)
    queries = [(one.words, one.head, one.tail) for one in sentences]
    runtime, config = contract.sentence_runtime(extractor.bundle.family), extractor.bundle.config
    read = runtime.spans_read(extractor.tokenizer, queries, config)
    mentions = [
        RelationMention(one.words, one.head, one.tail, extractor.seen_images(one.images))
        for one, is_read in zip(sentences, read, strict=True)
        if is_read
    ]
    scores = extractor.score_relations(mentions, unreadable="none")
    return relation_report(scores, right[read], relations, right[~read])


def relation_rows(relations: Labels, bundle: Path, data: RelationData, split: str) -> NDArray[np.int64]:
    """The rows of the right relations among those of a bundle, by label.

    Raises:
        DataError: the bundle lacks one.
    """
    sentences = data.split(split)
    if unknown := {one.relation for one in sentences} - set(relations):
        raise DataError(
            f"{data.name}: relation {min(unknown)!r:.120} is not in {bundle}. Pass the data set that the model was "
            "trained on."
        )
    return np.array([relations.find(one.relation) for one in sentences], np.int64)


def relation_report(
    scores: NDArray[Any], right: NDArray[np.int64], relations: Labels, unread: NDArray[np.int64] = _NOBODY
) -> RelationReport:
    """The best-scored relations (of equal ones the first) against the right ones.

    Args:
        unread: int64 [m], the right relations of sentences that the model cannot read; a warning counts them.

    Raises:
        DataError: if there is no sentence.
    """
    count = len(right) + len(unread)
    if not count:
        raise DataError("this split has no sentences, so there is nothing to evaluate. Choose another split.")
    if len(unread):
        warnings.warn(
            f"{len(unread):,} of {count:,} sentences count as answered wrongly: their head or tail begins behind what "
            "the model reads (max_length).",
            stacklevel=3,
        )
    found = np.concatenate([scores.argmax(axis=1), np.full(len(unread), NO_ANSWER)])
    return RelationReport(found, np.concatenate([right, unread]), relations)
