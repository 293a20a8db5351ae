"""Entities: what `Tagger.tag` answers, as spans of words and characters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np

from ...modalities.words import Span
from .answer import Answer, Answers
from .columns import Columns, Texts

_PLACES = ("word_start", "word_end", "character_start", "character_end")


@dataclass(frozen=True)
class Entity:
    """One named entity of a sentence.

    Attributes:
        text: as the sentence has it.
        kind: PER, LOC, ORG or MISC; what else a model was trained on.
        words, characters: first one, counted from 0, and the one after the last.
    """

    text: str
    kind: str
    words: Span
    characters: Span

    def to_json(self) -> dict[str, Any]:
        """Text, kind and place, as plain values."""
        return {"text": self.text, "kind": self.kind, "words": list(self.words), "characters": list(self.characters)}


@dataclass(frozen=True)
class SentenceEntities(Answer, Sequence[Entity]):
    """The entities of one sentence, from left to right; they do not overlap.

    Attributes:
        sentence: the text; of words their text with blanks between. `Entity.characters` count in it.
        words: as the model saw them.
        words_read: so many of the words fit into the model's length. Entities behind them are not found.
        entities: what this is a sequence of.
    """

    sentence: str
    words: tuple[str, ...]
    words_read: int
    entities: tuple[Entity, ...]

    def __len__(self) -> int:
        return len(self.entities)

    @overload
    def __getitem__(self, position: int) -> Entity: ...
    @overload
    def __getitem__(self, position: slice) -> tuple[Entity, ...]: ...
    def __getitem__(self, position: int | slice) -> Entity | tuple[Entity, ...]:
        return self.entities[position]

    def __repr__(self) -> str:
        shown = self.sentence if len(self.sentence) <= 100 else f"{self.sentence[:100]}..."
        lines = [f"  {entity.kind:<4}  {entity.text}" for entity in self]
        return "\n".join([repr(shown), *lines, *self._noted()])

    def to_json(self) -> dict[str, Any]:
        """The sentence and its entities."""
        entities = [entity.to_json() for entity in self]
        return {"sentence": self.sentence, "words": len(self.words), "words_read": self.words_read} | {
            "entities": entities
        }

    def notes(self) -> list[str]:
        """Whether there is no entity, and how many words were read if not all, in words."""
        cut = f"only the first {self.words_read:,} of {len(self.words):,} words were read"
        return [*(() if self.entities else ("no entity",)), *((cut,) if self.words_read < len(self.words) else ())]


class FoundEntities(Answers[SentenceEntities]):
    """One SentenceEntities per sentence, in the order of the sentences.

    Tables have one row per entity, so a sentence without one is not in them. `word_start` and `character_start` are
    counted from 0; `word_end` and `character_end` are the places after the last one.
    """

    queries = "sentences"

    def _table(self, count: int) -> Columns:
        sentences = self[:count]
        entities = [entity for sentence in sentences for entity in sentence]
        numbers = np.repeat(np.arange(count), [len(sentence) for sentence in sentences])
        spans = np.array([(*entity.words, *entity.characters) for entity in entities], np.int64).reshape(-1, 4)
        return {
            "number": numbers,
            "sentence": Texts.of(sentence.sentence for sentence in sentences).of_rows(numbers),
            "text": Texts.of(entity.text for entity in entities),
            "kind": Texts.of(entity.kind for entity in entities),
            **dict(zip(_PLACES, np.ascontiguousarray(spans.T), strict=True)),
        }


def tag_chunks(tags: Iterable[str]) -> list[tuple[str, int, int]]:
    """The chunks of a sequence of BIO tags as (kind, first, one after the last), by the rules of seqeval 1.2.2.

    They are lenient: I- begins a chunk where none of its kind is open. A tag that is neither O nor B- nor I- belongs
    to a chunk of a kind made of its letters behind the first, "_" without such letters; what O, too, is made of. Of
    several sentences the tags stand one after the other with an O behind each.
    """
    open_mark, open_kind, first = "O", "", 0
    chunks = []
    for position, tag in enumerate([*tags, "O"]):
        mark, kind = tag[0], tag[1:].split("-", maxsplit=1)[-1] or "_"
        ends = open_mark in ("B", "I") and mark in ("B", "O")
        if ends or (open_mark != "O" and open_kind != kind):
            chunks.append((open_kind, first, position))
        begins = mark == "B" or (open_mark == "O" and mark == "I")
        if begins or (mark != "O" and open_kind != kind):
            first = position
        open_mark, open_kind = mark, kind
    return chunks
