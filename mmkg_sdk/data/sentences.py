"""What the two sentence tasks have in memory: sentences with a relation between two spans, or with a tag per word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import DataError
from ..files.labels import Labels
from .graph import SPLITS
from .images.paths import as_path, as_paths

# BIO tags of entity recognition, in the order of the official classes; X, [CLS] and [SEP] belong to word pieces.
TAGS = ("O", "B-MISC", "I-MISC", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC")


@dataclass(frozen=True, init=False)
class SentenceImages:
    """The images of one post: the whole one, and crops of it. Missing ones are absent."""

    main: Path | None
    aux: tuple[Path, ...]
    rcnn: tuple[Path, ...]

    def __init__(
        self, main: str | Path | None = None, aux: Sequence[str | Path] = (), rcnn: Sequence[str | Path] = ()
    ) -> None:
        object.__setattr__(self, "main", as_path(main))
        object.__setattr__(self, "aux", as_paths(aux))
        object.__setattr__(self, "rcnn", as_paths(rcnn))


@dataclass(frozen=True)
class RelationSentence:
    """A sentence and the relation between two spans of it.

    Attributes:
        head, tail: word index of the first word and of the one after the last, from 0.
    """

    words: tuple[str, ...]
    head: tuple[int, int]
    tail: tuple[int, int]
    relation: str
    images: SentenceImages = field(default_factory=SentenceImages)

    def __post_init__(self) -> None:
        for name, (start, end) in (("head", self.head), ("tail", self.tail)):
            if not 0 <= start < end <= len(self.words):
                raise DataError(
                    f"{name} span is {start} to {end} in a sentence of {len(self.words)} words; expected "
                    "0 <= start < end <= number of words."
                )


@dataclass(frozen=True)
class TaggedSentence:
    """A sentence with one of TAGS for each word."""

    words: tuple[str, ...]
    tags: tuple[str, ...]
    images: SentenceImages = field(default_factory=SentenceImages)

    def __post_init__(self) -> None:
        if len(self.words) != len(self.tags):
            raise DataError(f"{len(self.words)} words and {len(self.tags)} tags; expected one tag per word.")
        if unknown := set(self.tags) - set(TAGS):
            raise DataError(f"unknown tag {min(unknown)!r:.60}; expected one of {', '.join(TAGS)}.")


@dataclass(frozen=True)
class RelationData:
    """Sentences for relation extraction; `relations` are the classes in their official order."""

    name: str
    relations: Labels
    train: tuple[RelationSentence, ...]
    valid: tuple[RelationSentence, ...]
    test: tuple[RelationSentence, ...]

    def split(self, name: str) -> tuple[RelationSentence, ...]:
        """The sentences of one split, by name."""
        sentences: tuple[RelationSentence, ...] = getattr(self, _checked(name))
        return sentences


@dataclass(frozen=True)
class TaggingData:
    """Sentences for entity recognition."""

    name: str
    train: tuple[TaggedSentence, ...]
    valid: tuple[TaggedSentence, ...]
    test: tuple[TaggedSentence, ...]

    def split(self, name: str) -> tuple[TaggedSentence, ...]:
        """The sentences of one split, by name."""
        sentences: tuple[TaggedSentence, ...] = getattr(self, _checked(name))
        return sentences


def _checked(split: str) -> str:
    if split not in SPLITS:
        raise DataError(f"unknown split {split!r}; expected one of {', '.join(SPLITS)}.")
    return split
