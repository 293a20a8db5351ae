"""What a data set is in memory: triples with labels, and raw tokens with their codebook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..files.labels import Labels
from ..modalities.readers import AnyReader
from ..registry import PUBLISHED_MODALITIES, check_further_modality, ordered_modalities

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class KnowledgeGraph:
    """Triples of one data set. `train`, `valid` and `test` are int64 [triples, 3]: head, relation, tail."""

    name: str
    entities: Labels
    relations: Labels
    train: NDArray[np.int64]
    valid: NDArray[np.int64]
    test: NDArray[np.int64]

    def __post_init__(self) -> None:
        limits = np.array([len(self.entities), len(self.relations), len(self.entities)])
        for split in SPLITS:
            triples = self.split(split)
            if triples.ndim != 2 or triples.shape[1] != 3 or triples.dtype != np.int64:
                raise DataError(
                    f"{self.name} {split}: expected int64 [triples, 3], found {triples.dtype} {triples.shape}."
                )
            wrong = np.flatnonzero(((triples < 0) | (triples >= limits)).any(axis=1))
            if len(wrong):
                raise DataError(
                    f"{self.name} {split}: triple {wrong[0]} is {triples[wrong[0]].tolist()}, but there are "
                    f"{limits[0]} entities and {limits[1]} relations."
                )

    def split(self, name: str) -> NDArray[np.int64]:
        """The triples of one split, by name."""
        if name not in SPLITS:
            raise DataError(f"unknown split {name!r}; expected one of {', '.join(SPLITS)}.")
        triples: NDArray[np.int64] = getattr(self, name)
        return triples

    @property
    def triples(self) -> NDArray[np.int64]:
        """All triples: train, then valid, then test."""
        return np.concatenate([self.train, self.valid, self.test])


def no_numbers(what: str, kind: str, count: int) -> DataError:
    """The error for what goes by ids beside names ("entity", "relation") that no list gives ids."""
    several, listing = ("entities", "entity2id.txt") if kind == "entity" else ("relations", "relation2id.txt")
    return DataError(
        f"{what} goes by the ids of the {several}, but no list says which id each of the {count:,} has. Add "
        f"{several}.txt (one name a line, in the order of the ids) or {listing} (`name id`)."
    )


@dataclass(frozen=True)
class RawTokens:
    """One modality before selection: every token of every entity, repeats included, and the codebook they index.

    Attributes:
        lists: entity label -> token ids, in the order of the file. An absent entity has no such modality.
        codebook: float32 [rows, width].
        vocabulary_size: ids above it are moved behind it in order of first appearance (MyGO's rule; it
            happens with RoBERTa and LLaMA token files only).
        pad_id: codebook row that fills unused slots; always masked.
        tokenizer: its name.
        made_by: what makes the same tokens of new texts or pictures; None where that is not at hand.
    """

    lists: Mapping[str, Sequence[int]]
    codebook: NDArray[np.float32]
    vocabulary_size: int
    pad_id: int
    tokenizer: str = "unknown"
    made_by: AnyReader | None = None


@dataclass(frozen=True)
class Features:
    """One modality as one vector per entity.

    Attributes:
        vectors: float32 [entities, width]; the row of an entity without the modality is zero.
        present: bool [entities].
    """

    vectors: NDArray[np.float32]
    present: NDArray[np.bool_]


@dataclass(frozen=True)
class DataSet:
    """A knowledge graph with whatever modalities it has.

    Attributes:
        tokens, features: by modality, "visual", "text" or a further one, in the order of `modalities`; one that the
            data lack altogether is left out.
        descriptions: entity label -> text.
        entity_texts: entity label -> what MKGformer reads about it, in the line order of the published file, which is
            the order of its candidates. It may name entities that no triple has; empty without such a file.
        relation_texts: relation label -> what MKGformer reads about it.
        source_ids: entity label -> what the published files call it (Freebase mid, WordNet offset, URI), where that
            is not the label.
        other_names: further published names (Freebase mid, Wikidata id) -> entity label. They are not written.
        unnumbered: "entity", "relation" or both where no list gives them ids: their rows then follow the first
            appearance in the triples, and nothing that others numbered by row belongs to them.
        images: entity label -> image files.
    """

    graph: KnowledgeGraph
    tokens: Mapping[str, RawTokens] = field(default_factory=dict)
    features: Mapping[str, Features] = field(default_factory=dict)
    descriptions: Mapping[str, str] = field(default_factory=dict)
    entity_texts: Mapping[str, str] = field(default_factory=dict)
    relation_texts: Mapping[str, str] = field(default_factory=dict)
    source_ids: Mapping[str, str] = field(default_factory=dict)
    other_names: Mapping[str, str] = field(default_factory=dict)
    unnumbered: tuple[str, ...] = ()
    images: Mapping[str, Sequence[Path]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("tokens", "features"):
            given: Mapping[str, RawTokens | Features] = getattr(self, name)
            for modality in given:
                if modality not in PUBLISHED_MODALITIES:
                    check_further_modality(modality)
            object.__setattr__(self, name, {modality: given[modality] for modality in ordered_modalities(given)})

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the published modalities, which may lack, and of further ones that have tokens or features."""
        return ordered_modalities({*PUBLISHED_MODALITIES, *self.tokens, *self.features})

    def need_numbers(self, what: str) -> None:
        """Raise DataError unless lists number entities and relations, as `what` takes for granted."""
        for labels in (self.graph.entities, self.graph.relations):
            if labels.kind in self.unnumbered:
                raise no_numbers(what, labels.kind, len(labels))
