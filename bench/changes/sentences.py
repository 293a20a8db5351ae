"""What sentences are given less, worse and otherwise: their images, and the words around what is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mmkg_sdk.answering.sentences import SentenceModel
from mmkg_sdk.data.open import kind_of, open_data
from mmkg_sdk.data.sentences import RelationData, RelationSentence, SentenceImages, TaggedSentence, TaggingData
from mmkg_sdk.errors import DataError
from mmkg_sdk.evaluation.relation_extraction import relation_rows
from mmkg_sdk.registry import RELATION_EXTRACTION

from .picture_changes import Change

Sentence: TypeAlias = RelationSentence | TaggedSentence
# The images that go with a sentence, by group: attributes of SentenceImages, and what people call them.
GROUPS = {"aux": "auxiliary images", "rcnn": "detector crops"}


@dataclass(frozen=True)
class Shown:
    """What a model is given.

    Attributes:
        sentences: with those of their images that it looks at.
        change: done to every image when it is read; None: nothing.
        seed: of the change.
    """

    sentences: Sequence[Sentence]
    change: Change | None = None
    seed: int = 0


@dataclass(frozen=True)
class AskedSentences:
    """The sentences of a split, with those of their images that the model looks at."""

    sentences: Sequence[Sentence]

    @classmethod
    def of(cls, model: SentenceModel, data: str | None, images: Path | None, split: str, most: int) -> AskedSentences:
        """Of a data set; of more than `most`, so many are drawn with seed 0.

        Raises:
            DataError: no data, of another kind, none in this split, or a relation that the bundle does not have.
        """
        bundle = model.bundle
        if data is None:
            raise DataError(f"a bundle for {bundle.config.task} holds no sentences; name the data set with --data.")
        found = open_data(data, images=images)
        expected = RelationData if bundle.config.task == RELATION_EXTRACTION else TaggingData
        if not isinstance(found, expected):
            wanted = "relations" if expected is RelationData else "tags"
            raise DataError(f"{data} holds {kind_of(found)}; expected sentences with {wanted}. Name other data.")
        if isinstance(found, RelationData):
            relation_rows(bundle.relations, bundle.path, found, split)
        sentences = [replace(one, images=model.seen_images(one.images)) for one in found.split(split)]
        if not sentences:
            raise DataError(f"{data} has no {split} sentences. Choose another split.")
        if len(sentences) > most:
            rows = np.sort(np.random.default_rng(0).permutation(len(sentences))[:most])
            sentences = [sentences[row] for row in rows.tolist()]
        return cls(sentences)

    @cached_property
    def pictured(self) -> NDArray[np.int64]:
        """Rows of those that have an image."""
        return np.flatnonzero([bool(one.images.aux or one.images.rcnn) for one in self.sentences])

    @cached_property
    def most(self) -> Mapping[str, int]:
        """By group the images of the sentence that has most; groups without any are left out."""
        found = {group: max(len(getattr(one.images, group)) for one in self.sentences) for group in GROUPS}
        return {group: count for group, count in found.items() if count}

    def with_images(self, images: Mapping[int, SentenceImages]) -> Shown:
        """Some with other images, by row."""
        found = list(self.sentences)
        for row, one in images.items():
            found[row] = replace(found[row], images=one)
        return Shown(found)

    def without(self, rows: NDArray[np.int64]) -> Shown:
        """Some without images."""
        return self.with_images(dict.fromkeys(rows.tolist(), SentenceImages()))

    def exchanged(self, rows: NDArray[np.int64]) -> Shown:
        """Each of some has the images that the next of them had."""
        others = np.roll(rows, 1).tolist()
        return self.with_images(
            {row: self.sentences[other].images for row, other in zip(rows.tolist(), others, strict=True)}
        )

    def fewer(self, counts: Mapping[str, int], seed: int) -> Shown:
        """So many images of some groups at most, drawn at random; their order stays."""
        random, found = np.random.default_rng(seed), {}
        for row in self.pictured.tolist():
            images = self.sentences[row].images
            for group, count in counts.items():
                own = getattr(images, group)
                places = sorted(random.permutation(len(own))[:count].tolist())
                images = _with_group(images, group, [own[place] for place in places])
            found[row] = images
        return self.with_images(found)

    def changed(self, change: Change, seed: int) -> Shown:
        """Every image changed."""
        return Shown(self.sentences, change, seed)

    def others(self, folder: Path) -> dict[int, SentenceImages]:
        """Pictures of the same names in another folder, by row of the sentences that have one at least.

        Raises:
            DataError: several pictures have one name.
        """
        paths = images_of(self.sentences)
        names = [path.name for path in paths]
        if twice := {name for name in names if names.count(name) > 1}:
            raise DataError(f"several images of the data are called {min(twice)!r:.80}, so other images have no names.")
        there = {path: folder / path.name for path in paths if (folder / path.name).is_file()}
        found = {}
        for row in self.pictured.tolist():
            before = after = self.sentences[row].images
            for group in GROUPS:
                after = _with_group(after, group, [there.get(path, path) for path in getattr(after, group)])
            if after != before:
                found[row] = after
        return found

    def bare(self, rows: NDArray[np.int64]) -> Shown:
        """Some with head and tail alone, in their order."""
        found = list(self.sentences)
        for row in rows.tolist():
            one = found[row]
            assert isinstance(one, RelationSentence)
            found[row] = _bare(one)
        return Shown(found)


def images_of(sentences: Iterable[Sentence]) -> list[Path]:
    """Their images, each once."""
    return list(dict.fromkeys(path for one in sentences for group in GROUPS for path in getattr(one.images, group)))


def _with_group(images: SentenceImages, group: str, paths: Sequence[Path]) -> SentenceImages:
    """The same with another group of images."""
    groups: dict[str, Any] = {name: getattr(images, name) for name in GROUPS}
    return SentenceImages(**groups | {group: paths})


def _bare(sentence: RelationSentence) -> RelationSentence:
    spans = sentence.head, sentence.tail
    kept = sorted({place for span in spans for place in range(*span)})
    place: Callable[[int], int] = kept.index
    head, tail = ((place(start), place(end - 1) + 1) for start, end in spans)
    return replace(sentence, words=tuple(sentence.words[at] for at in kept), head=head, tail=tail)
