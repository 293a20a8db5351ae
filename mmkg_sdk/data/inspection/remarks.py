"""What is odd about a data set that was read without fault: repeats, splits that overlap, what no training line has."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence

import numpy as np

from ..graph import SPLITS, DataSet, KnowledgeGraph
from ..mentions import LinkingData
from ..sentences import RelationData, TaggingData

# The split that should be new to the other.
_PAIRS = (("valid", "train"), ("test", "train"), ("test", "valid"))


def remarks(data: DataSet | LinkingData | RelationData | TaggingData) -> list[str]:
    """Short sentences with numbers, worth reading before training; empty where there is nothing to say.

    The same triple is one with the same head, relation and tail; the same mention has the same text, sentence and
    entity; the same sentence has the same words and, for relations, the same spans. Images are not compared.
    """
    if isinstance(data, LinkingData):
        mentions = {split: [(one.text, one.sentence, one.entity) for one in data.split(split)] for split in SPLITS}
        return list(_repeats(mentions, "mentions"))
    if isinstance(data, TaggingData):
        return list(_repeats({split: [one.words for one in data.split(split)] for split in SPLITS}, "sentences"))
    if isinstance(data, RelationData):
        keys = {split: [(one.words, one.head, one.tail) for one in data.split(split)] for split in SPLITS}
        return [*_repeats(keys, "sentences"), *_untrained_classes(data)]
    return [*_repeats(_triple_keys(data.graph), "triples"), *_untrained(data.graph)]


def _repeats(splits: Mapping[str, Sequence[Hashable]], what: str) -> Iterator[str]:
    """What stands in one split twice, or in two."""
    for split, items in splits.items():
        if not items:
            yield f"{split}: no {what}."
        elif repeated := len(items) - len(set(items)):
            yield f"{split}: {repeated:,} of {len(items):,} {what} repeat an earlier one; they are kept."
    for later, earlier in _PAIRS:
        known = set(splits[earlier])
        if common := sum(item in known for item in splits[later]):
            yield f"{later}: {common:,} of {len(splits[later]):,} {what} stand in {earlier}, too."


def _triple_keys(graph: KnowledgeGraph) -> dict[str, list[int]]:
    """The triples of each split as whole numbers; equal triples have equal ones."""
    _, keys = np.unique(graph.triples, axis=0, return_inverse=True)
    ends = np.cumsum([len(graph.split(split)) for split in SPLITS])
    return {split: part.tolist() for split, part in zip(SPLITS, np.split(keys.reshape(-1), ends[:-1]), strict=True)}


def _untrained(graph: KnowledgeGraph) -> Iterator[str]:
    """Entities and relations of which training says nothing, and how much is asked about them."""
    asked = np.concatenate([graph.valid, graph.test])
    for labels, several, columns in ((graph.entities, "entities", [0, 2]), (graph.relations, "relations", [1])):
        unseen = np.ones(len(labels), np.bool_)
        unseen[graph.train[:, columns]] = False
        if count := int(unseen.sum()):
            affected = int(unseen[asked[:, columns]].any(axis=1).sum())
            yield (
                f"{count:,} of {len(labels):,} {several} have no training triple; {affected:,} of {len(asked):,} "
                "triples of valid and test have one of them."
            )


def _untrained_classes(data: RelationData) -> Iterator[str]:
    trained = {sentence.relation for sentence in data.train}
    if unseen := [name for name in data.relations if name not in trained]:
        asked = sum(sentence.relation not in trained for sentence in (*data.valid, *data.test))
        yield (
            f"{len(unseen):,} of {len(data.relations):,} relations have no training sentence; {asked:,} of "
            f"{len(data.valid) + len(data.test):,} sentences of valid and test have one of them."
        )
