"""RelationSubject and TagSubject: a bundle that reads sentences with their images."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from mmkg_sdk.answering.entity_recognition import Tagger
from mmkg_sdk.answering.relation_extraction import Extractor
from mmkg_sdk.answering.sentences import TEXT_INPUTS, SentenceModel
from mmkg_sdk.data.sentences import RelationSentence, SentenceImages, TaggedSentence
from mmkg_sdk.evaluation import entity_recognition, relation_extraction
from mmkg_sdk.families import contract

from .conditions import Outcome
from .picture_changes import changed_rgb
from .sentences import GROUPS, Sentence, Shown, images_of

# Encoded for a clock.
_TIMED = 64
# Sentences whose image states are put together at a time.
_AT_ONCE = 256
# What is kept of images that are as they are: 5,700 sets at the published sizes.
_KEPT_BYTES = 1 << 30

States = NDArray[np.float32]
_NO_IMAGES = SentenceImages()


class SentenceSubject(ABC):
    """Sentences are answered by the published protocol; of each count hits, what was found and what is right.

    Args:
        sentences: as they are, with those of their images that the model looks at.
    """

    items, unit = "sentences", "sentences"

    def __init__(self, model: SentenceModel, sentences: Sequence[Sentence]) -> None:
        bundle = model.bundle
        self.model, self.tokenizer, self._sentences = model, model.tokenizer, sentences
        self.runtime, self.config = contract.sentence_runtime(bundle.family), contract.sentence_config(bundle.config)
        self._numbers = {path: number for number, path in enumerate(images_of(sentences))}
        self._kept: dict[SentenceImages, States] = {}
        self._own = {_NO_IMAGES, *(one.images for one in sentences)}

    def measure(self, given: Shown | None) -> Outcome:
        """See Subject."""
        return self.answered(given or Shown(self._sentences))

    def value(self, sums: NDArray[np.float64], count: int) -> NDArray[np.float64]:
        """See Subject. F1 over all sentences together: of 0 where there is nothing to find."""
        return 2 * sums[..., 0] / np.maximum(1, sums[..., 1] + sums[..., 2])

    def run_once(self, given: Shown) -> int:
        """See Subject: from images that were not seen before, and words, to answers."""
        places = np.unique(np.linspace(0, len(given.sentences) - 1, _TIMED).round().astype(np.int64))
        some = [given.sentences[place] for place in places.tolist()]
        self._kept = {images: state for images, state in self._kept.items() if images == _NO_IMAGES}
        self.answered(Shown(some, given.change, given.seed))
        return len(some)

    @abstractmethod
    def answered(self, shown: Shown) -> Outcome:
        """What comes of sentences."""

    def asked(self, texts: Any, shown: Sequence[SentenceImages], given: Shown) -> Iterator[dict[str, NDArray[Any]]]:
        """The arguments of `score_tokens` and `tag_tokens`, for some sentences at a time.

        Args:
            texts: the token inputs of sentences.
            shown: their images.
        """
        for start in range(0, len(shown), _AT_ONCE):
            rows = slice(start, start + _AT_ONCE)
            states = [self._state(images, given) for images in shown[rows]]
            yield {name: getattr(texts, name)[rows] for name in TEXT_INPUTS} | {"image_state": np.concatenate(states)}

    def _state(self, images: SentenceImages, given: Shown) -> States:
        """Of one set of images; those that conditions leave as they are are encoded once."""
        is_own = images in self._own and (given.change is None or images == _NO_IMAGES)
        if is_own and images in self._kept:
            return self._kept[images]
        crops = self.runtime.read_crops(self._changed(images, given), self.config, skip_unreadable=True)
        state = self.model.encode_images(**crops)
        if is_own and len(self._kept) * state.nbytes < _KEPT_BYTES:
            self._kept[images] = state
        return state

    def _changed(self, images: SentenceImages, given: Shown) -> SentenceImages:
        change = given.change
        if change is None:
            return images
        groups = {
            group: [
                changed_rgb(path, change, np.random.default_rng([given.seed, self._numbers[path]]))
                for path in getattr(images, group)
            ]
            for group in GROUPS
        }
        return SentenceImages(**cast(Any, groups))  # which the family reads as it reads files


class RelationSubject(SentenceSubject):
    """Of relation extraction."""

    metric = relation_extraction.SELECTED

    def answered(self, shown: Shown) -> Outcome:
        """See SentenceSubject."""
        assert isinstance(self.model, Extractor)
        sentences = cast("Sequence[RelationSentence]", shown.sentences)
        relations = self.model.relations
        right = np.array([relations.find(one.relation) for one in sentences], np.int64)
        queries = [(one.words, one.head, one.tail) for one in sentences]
        is_read = self.runtime.spans_read(self.tokenizer, queries, self.config)
        read, unread = np.flatnonzero(is_read), np.flatnonzero(~is_read)
        texts = self.runtime.relation_texts(self.tokenizer, [queries[row] for row in read.tolist()], self.config)
        scores = [np.empty((0, len(relations)), np.float32)]
        for inputs in self.asked(texts, [sentences[row].images for row in read.tolist()], shown):
            scores.append(self.model.score_tokens(**inputs))
        report = relation_extraction.relation_report(np.concatenate(scores), right[read], relations, right[unread])
        counts = np.empty(report.counts.shape)
        counts[np.concatenate([read, unread])] = report.counts
        return Outcome(report.metrics(), counts)


class TagSubject(SentenceSubject):
    """Of entity recognition."""

    metric = entity_recognition.SELECTED

    def answered(self, shown: Shown) -> Outcome:
        """See SentenceSubject."""
        assert isinstance(self.model, Tagger)
        sentences = cast("Sequence[TaggedSentence]", shown.sentences)
        texts = self.runtime.tagging_texts(self.tokenizer, [one.words for one in sentences], self.config)
        tags = [
            self.model.tag_tokens(**inputs)[0] for inputs in self.asked(texts, [one.images for one in sentences], shown)
        ]
        right = self.runtime.tag_labels(texts, [one.tags for one in sentences])
        report = entity_recognition.entity_report(np.concatenate(tags), right, self.model.tags)
        return Outcome(report.metrics(), report.counts.astype(np.float64))
