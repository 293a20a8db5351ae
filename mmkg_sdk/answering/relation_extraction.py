"""Extractor: a sentence and two of its spans in, the relation between them out.

One query, from words to answer: markers around the spans, word pieces (the family's preparation) -> scores of all
relations (the relation graph, with what the image graph made of the images) -> `ExtractedRelation` (relations.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backends import AnyArray
from ..data.sentences import RelationData
from ..errors import QueryError
from ..files.labels import Labels
from ..modalities.words import Span, cut_text, find_span, trimmed
from ..registry import RELATION_EXTRACTION
from .answers.relations import ExtractedRelation, ExtractedRelations
from .answers.sentence_explanation import SentenceExplanation
from .ids import skips_unreadable
from .sentences import TEXT_INPUTS, Arrays, Images, SentenceModel

__all__ = ["Extractor", "RelationMention", "show_relations"]


@dataclass(frozen=True)
class RelationMention:
    """A sentence, and the two things in it whose relation is asked for.

    Attributes:
        sentence: a text, or its words.
        head, tail: words that stand in the sentence exactly once; or (start, end), the first one counted from 0 and the
            one after the last: characters of a text, words of a list. Where the sentence does not go on after them
            the model sees no end of them, as in its training.
        images: crops of the image that goes with it (`SentenceImages`), the whole image (a path; for models that
            take it for a crop), or None.
    """

    sentence: str | Sequence[str]
    head: str | Span
    tail: str | Span
    images: Images = None


class Extractor(SentenceModel):
    """A relation extraction bundle, opened on one backend. Safe to call from several threads.

    Not every pair has a relation: the classes hold one that says so ("none"), and it is an answer like the others.
    """

    task = RELATION_EXTRACTION

    @property
    def relations(self) -> Labels:
        """Labels of the relations; their position is their id."""
        return self.bundle.relations

    def extract_relations(self, mentions: RelationMention | Sequence[RelationMention]) -> ExtractedRelations:
        """The relation of each mention, in order.

        Raises:
            QueryError: a span is not in the sentence, or so far behind that the model does not read it, or an image
                cannot be read or is not looked at.
            BackendError: a graph failed or gave NaN.
        """
        asked = _checked(mentions)
        logits = self.score_relations(asked).astype(np.float64)
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        places = _places(asked)
        spans = [_words_and_spans(mention, place) for mention, place in zip(asked, places, strict=True)]
        cuts = self._runtime.cut_relation_texts(self.tokenizer, spans, self._config).tolist()
        return ExtractedRelations(
            [
                self._answer(mention, *found, row.astype(np.float32), cut)
                for mention, found, row, cut in zip(asked, spans, shares, cuts, strict=True)
            ]
        )

    def explain_relation(self, mention: RelationMention) -> SentenceExplanation:
        """By which weights each word piece takes from each place of the images, in every fused layer.

        Raises:
            QueryError: as of `extract_relations`.
        """
        (asked,) = _checked(mention)
        words, head, tail = _words_and_spans(asked, "the mention")
        texts = self._runtime.relation_texts(self.tokenizer, [(words, head, tail)], self._config)
        sentence = asked.sentence if isinstance(asked.sentence, str) else " ".join(words)
        return self._explained(sentence, texts, asked.images)

    def score_relations(
        self, mentions: RelationMention | Sequence[RelationMention], *, unreadable: str = "error"
    ) -> NDArray[np.float32]:
        """What the model gives each relation before the softmax, float32 [mentions, relations]; higher is better.

        Args:
            unreadable: "error", or "none" to take an image that cannot be read for none, with a warning.
        """
        skip = skips_unreadable(unreadable)
        asked = _checked(mentions)
        places = _places(asked)
        spans = [_words_and_spans(mention, place) for mention, place in zip(asked, places, strict=True)]
        shown = [self._seen(mention.images, place) for mention, place in zip(asked, places, strict=True)]
        texts = self._runtime.relation_texts(self.tokenizer, spans, self._config)
        parts = [np.empty((0, len(self.relations)), np.float32)]
        for rows in self._chunks(len(asked)):
            states = self._image_states(shown[rows], places[rows], skip_unreadable=skip)
            given = {name: getattr(texts, name)[rows] for name in TEXT_INPUTS}
            parts.append(self._scores(self._checked_texts(given), states))
        return np.concatenate(parts)

    def score_tokens(
        self,
        input_ids: NDArray[np.int64],
        attention_mask: NDArray[np.int64],
        token_type_ids: NDArray[np.int64],
        image_state: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """Like `score_relations`, of token ids.

        Args:
            input_ids, attention_mask, token_type_ids: int64 [n, max_length], padded as in training: the scores depend
                on the padding. Each row has one <s> and one <o>.
            image_state: float32 [n, ...], from `encode_images`.

        Raises:
            QueryError: another shape or dtype, an id that the model does not have, a marker that lacks or repeats.
        """
        texts = self._checked_texts(
            {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}
        )
        states = self._checked_states(image_state, len(texts["input_ids"]))
        parts = [np.empty((0, len(self.relations)), np.float32)]
        for rows in self._chunks(len(states)):
            parts.append(self._scores({name: array[rows] for name, array in texts.items()}, states[rows]))
        return np.concatenate(parts)

    def _scores(self, texts: Arrays, states: AnyArray) -> NDArray[np.float32]:
        """Of checked texts, as many as go into one run."""
        markers = self._runtime.marker_positions(texts["input_ids"], self._config)
        inputs = {**texts, "marker_positions": markers, "image_state": states}
        return self.run_graph("relation_encoder", inputs, ["scores"])["scores"]

    def _sizes(self) -> str:
        return f"{len(self.relations)} relations, up to {self.max_length} word pieces"

    def _answer(
        self,
        mention: RelationMention,
        words: Sequence[str],
        head: Span,
        tail: Span,
        shares: NDArray[np.float32],
        cut: bool,
    ) -> ExtractedRelation:
        sentence = mention.sentence if isinstance(mention.sentence, str) else " ".join(words)
        head_text, tail_text = (" ".join(words[start:end]) for start, end in (head, tail))
        return ExtractedRelation(sentence, head_text, tail_text, shares, self.relations, cut)


def show_relations(extractor: Extractor, data: RelationData, count: int = 8) -> str:
    """A few test sentences, of every relation in turn, with the answer and the right one."""
    by_relation: dict[str, list[Any]] = {relation: [] for relation in data.relations}
    for sentence in data.test:
        by_relation[sentence.relation].append(sentence)
    turns = [group[turn] for turn in range(count) for group in by_relation.values() if turn < len(group)]
    chosen = turns[:count]
    asked = [RelationMention(one.words, one.head, one.tail, extractor.seen_images(one.images)) for one in chosen]
    lines = []
    for one, found in zip(chosen, extractor.extract_relations(asked), strict=True):
        right = "right" if found.label == one.relation else f"the test split says {one.relation}"
        lines += [found.sentence, f"  {found!r}  <- {right}"]
    return "\n".join(lines)


def _checked(mentions: RelationMention | Sequence[RelationMention]) -> Sequence[RelationMention]:
    asked = [mentions] if isinstance(mentions, RelationMention) else mentions
    if not isinstance(asked, Sequence):
        raise QueryError(f"mentions is {type(asked).__name__}; expected a RelationMention or a list of them.")
    for mention, place in zip(asked, _places(asked), strict=True):
        if not isinstance(mention, RelationMention):
            raise QueryError(f"{place} is {mention!r:.60} ({type(mention).__name__}); expected a RelationMention.")
    return asked


def _places(mentions: Sequence[Any]) -> list[str]:
    return [f"mention {row} of {len(mentions)}" for row in range(len(mentions))]


def _words_and_spans(mention: RelationMention, place: str) -> tuple[tuple[str, ...], Span, Span]:
    """The words of a mention, head and tail in words."""
    sentence, given = mention.sentence, (("head", mention.head), ("tail", mention.tail))
    if isinstance(sentence, str):
        spans = [_span_of_text(sentence, wanted, f"{place}: {name}") for name, wanted in given]
        words, (head, tail) = cut_text(sentence, spans)
        return words, head, tail
    if not isinstance(sentence, Sequence) or not all(isinstance(word, str) for word in sentence):
        raise QueryError(f"{place}: sentence is {sentence!r:.80}; expected a text or a list of words.")
    head, tail = (_span_of_words(sentence, wanted, f"{place}: {name}") for name, wanted in given)
    return tuple(sentence), head, tail


def _span_of_text(text: str, wanted: Any, place: str) -> Span:
    if isinstance(wanted, str):
        return find_span(text, wanted, place)
    start, end = trimmed(text, *_checked_span(wanted, len(text), "characters", place))
    if start == end:
        raise QueryError(f"{place} is {wanted!r:.60}, where the sentence has blanks only. Pass the place of words.")
    return start, end


def _span_of_words(words: Sequence[str], wanted: Any, place: str) -> Span:
    if not isinstance(wanted, str):
        return _checked_span(wanted, len(words), "words", place)
    parts = wanted.split()
    found = [start for start in range(len(words)) if parts and list(words[start : start + len(parts)]) == parts]
    if len(found) != 1:
        raise QueryError(
            f"{place} {wanted!r:.60} stands {len(found)} times among the {len(words):,} words; expected once. Pass its "
            "place (start, end) in words instead."
        )
    return found[0], found[0] + len(parts)


def _checked_span(wanted: Any, length: int, unit: str, place: str) -> Span:
    numbers = tuple(wanted) if isinstance(wanted, tuple | list) else ()
    if len(numbers) != 2 or any(type(number) is not int for number in numbers):
        raise QueryError(f"{place} is {wanted!r:.60}; expected words of the sentence, or (start, end).")
    start, end = numbers
    if not 0 <= start < end <= length:
        raise QueryError(
            f"{place} is {wanted!r:.60} in a sentence of {length:,} {unit}; expected 0 <= start < end <= {length:,}."
        )
    return start, end
