"""Tagger: sentences in, named entities out.

One sentence, from words to answer: word pieces (the family's preparation) -> a tag for each, decided together by a CRF
(the tag graph, with what the image graph made of the images) -> spans of words (entities.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backends import AnyArray
from ..data.sentences import TaggingData
from ..errors import BackendError, QueryError
from ..files.labels import Labels
from ..modalities.words import Span, split_text
from ..registry import ENTITY_RECOGNITION
from .answers.entities import Entity, FoundEntities, SentenceEntities, tag_chunks
from .answers.sentence_explanation import SentenceExplanation
from .ids import skips_unreadable
from .sentences import TEXT_INPUTS, Arrays, Images, SentenceModel

__all__ = ["Tagger", "show_entities"]


class Tagger(SentenceModel):
    """An entity recognition bundle, opened on one backend. Safe to call from several threads.

    The model gives a tag to each word piece; that of a word's first piece counts. An entity begins with B- or, where
    none of its kind is open, with I-, and goes on with I- of the same kind. A word whose tag is X, [CLS], [SEP] or PAD
    is in no entity. Words without a piece (control characters only) are passed over as if they were not there.
    """

    task = ENTITY_RECOGNITION

    @property
    def tags(self) -> Labels:
        """The classes of word pieces; their position is their id."""
        return self.bundle.labels["tags"]

    def tag(
        self, sentences: str | Sequence[str | Sequence[str]], images: Sequence[Images] | None = None
    ) -> FoundEntities:
        """The entities of each sentence, in order.

        Args:
            sentences: texts, or lists of words; one text alone is one sentence. A text is split at blanks, with the
                punctuation around each word apart (`words.split_text`); pass words where the training data were split
                otherwise. A sentence of more than `max_length - 2` word pieces is cut there, and the answer says how
                many words were read.
            images: for each sentence crops of its image (`SentenceImages`), the whole image (a path; for models
                that take it for a crop), or None. None: no sentence has one.

        Raises:
            QueryError: no text, half of a surrogate pair, or an image that cannot be read or is not looked at.
            BackendError: a graph failed or gave NaN.
        """
        texts = [_words(sentence, place) for sentence, place in _placed(sentences)]
        pieces, tags = self.tag_words([words for _, words, _ in texts], images)
        names = [name if name[:2] in ("B-", "I-") else "O" for name in self.tags]
        return FoundEntities(
            [
                _entities(*text, words_at, [names[tag] for tag in row[words_at >= 0]], is_full=bool(mask.all()))
                for text, words_at, row, mask in zip(texts, pieces.words, tags, pieces.attention_mask, strict=True)
            ]
        )

    def explain_sentence(self, sentence: str | Sequence[str], images: Images = None) -> SentenceExplanation:
        """By which weights each word piece takes from each place of the images, in every fused layer.

        Args:
            sentence, images: one of those that `tag` takes.

        Raises:
            QueryError: as of `tag`.
        """
        text, words, _ = _words(sentence, "the sentence")
        return self._explained(text, self._runtime.tagging_texts(self.tokenizer, [words], self._config), images)

    def tag_words(
        self, sentences: Sequence[Sequence[str]], images: Sequence[Images] | None = None, *, unreadable: str = "error"
    ) -> tuple[Any, NDArray[np.int64]]:
        """The word pieces of sentences (the family's `TagInputs`), and their tags as `tag_tokens` gives them.

        Args:
            unreadable: "error", or "none" to take an image that cannot be read for none, with a warning.
        """
        skip = skips_unreadable(unreadable)
        count = len(sentences)
        is_list = isinstance(images, Sequence) and not isinstance(images, str)
        if images is not None and not (is_list and len(images) == count):
            raise QueryError(f"images is {images!r:.80}; expected None, or one for each of the {count} sentences.")
        places = [f"sentence {row} of {count}" for row in range(count)]
        shown = [self._seen(one, place) for one, place in zip(images or [None] * count, places, strict=True)]
        pieces = self._runtime.tagging_texts(self.tokenizer, sentences, self._config)
        parts = [np.empty((0, self.max_length), np.int64)]
        for rows in self._chunks(count):
            states = self._image_states(shown[rows], places[rows], skip_unreadable=skip)
            given = {name: getattr(pieces, name)[rows] for name in TEXT_INPUTS}
            parts.append(self._tags(self._checked_texts(given), states)[0])
        return pieces, np.concatenate(parts)

    def tag_tokens(
        self,
        input_ids: NDArray[np.int64],
        attention_mask: NDArray[np.int64],
        token_type_ids: NDArray[np.int64],
        image_state: NDArray[np.float32],
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The tag of each token, and what the CRF decided on.

        Args:
            input_ids, attention_mask, token_type_ids: int64 [n, max_length], padded as in training: the answers depend
                on the padding.
            image_state: float32 [n, ...], from `encode_images`.

        Returns:
            tags int64 [n, max_length], rows of `tags`, -1 on padding; emissions float32 [n, max_length, tags].

        Raises:
            QueryError: another shape or dtype, or an id that the model does not have.
        """
        texts = self._checked_texts(
            {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}
        )
        states, shape = self._checked_states(image_state, len(texts["input_ids"])), (self.max_length, len(self.tags))
        tags, emissions = [np.empty((0, shape[0]), np.int64)], [np.empty((0, *shape), np.float32)]
        for rows in self._chunks(len(states)):
            found = self._tags({name: array[rows] for name, array in texts.items()}, states[rows])
            tags.append(found[0])
            emissions.append(found[1])
        return np.concatenate(tags), np.concatenate(emissions)

    def _tags(self, texts: Arrays, states: AnyArray) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Of checked texts, as many as go into one run."""
        found = self.run_graph("tag_encoder", {**texts, "image_state": states}, ["tags", "emissions"])
        inside = texts["attention_mask"] == 1
        if not (((found["tags"] >= 0) == inside).all() and found["tags"].max(initial=-1) < len(self.tags)):
            raise BackendError("tag_encoder gave a tag that there is not. Export the bundle again.")
        return found["tags"], found["emissions"]

    def _sizes(self) -> str:
        return f"{len(self.tags)} tags, up to {self.max_length} word pieces"


def show_entities(tagger: Tagger, data: TaggingData, count: int = 8) -> str:
    """A few test sentences with entities, with those that were found and those of the data."""
    chosen = [one for one in data.test if set(one.tags) != {"O"}][:count]
    images = [tagger.seen_images(one.images) for one in chosen]
    lines = []
    for one, found in zip(chosen, tagger.tag([one.words for one in chosen], images), strict=True):
        right = {(kind, (start, end)) for kind, start, end in tag_chunks(one.tags)}
        lines.append(found.sentence)
        for entity in found:
            mark = "right" if (entity.kind, entity.words) in right else "not in the test split"
            lines.append(f"  {entity.kind:<4}  {entity.text}  <- {mark}")
        missed = right - {(entity.kind, entity.words) for entity in found}
        lines += [f"  {kind:<4}  {' '.join(one.words[slice(*span)])}  <- missed" for kind, span in sorted(missed)]
    return "\n".join(lines)


def _entities(
    sentence: str,
    words: tuple[str, ...],
    places: list[Span],
    words_at: NDArray[np.int64],
    tags: list[str],
    *,
    is_full: bool,
) -> SentenceEntities:
    """The answer for one sentence.

    Args:
        places: of the words, in characters.
        words_at: int64 [max_length], the word that begins at a word piece, or -1.
        tags: of the words that begin somewhere.
        is_full: whether there was no room for more word pieces.
    """
    tagged = words_at[words_at >= 0].tolist()
    entities = []
    for kind, first, end in tag_chunks(tags):
        start, stop = tagged[first], tagged[end - 1] + 1
        characters = (places[start][0], places[stop - 1][1])
        entities.append(Entity(sentence[slice(*characters)], kind, (start, stop), characters))
    return SentenceEntities(sentence, words, tagged[-1] + 1 if is_full and tagged else len(words), tuple(entities))


def _placed(sentences: Any) -> list[tuple[Any, str]]:
    """Each sentence and what it is called in messages."""
    given = [sentences] if isinstance(sentences, str) else sentences
    if not isinstance(given, Sequence):
        raise QueryError(f"sentences is {type(given).__name__}; expected a text, or a list of texts or lists of words.")
    return [(sentence, f"sentence {row} of {len(given)}") for row, sentence in enumerate(given)]


def _words(sentence: Any, place: str) -> tuple[str, tuple[str, ...], list[Span]]:
    """The sentence as a text, its words, and their places in it."""
    if isinstance(sentence, str):
        places = split_text(sentence)
        return sentence, tuple(sentence[start:end] for start, end in places), places
    if not isinstance(sentence, Sequence) or not all(isinstance(word, str) for word in sentence):
        raise QueryError(f"{place} is {sentence!r:.80}; expected a text or a list of words.")
    ends = np.cumsum([len(word) + 1 for word in sentence]).tolist()
    places = [(end - len(word) - 1, end - 1) for end, word in zip(ends, sentence, strict=True)]
    return " ".join(sentence), tuple(sentence), places
