"""Texts as words with their places, and spans of characters as spans of words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ..errors import QueryError

Span = tuple[int, int]

_RUN = re.compile(r"\S+")


def split_text(text: str) -> list[Span]:
    """The places of the words of a text: what blanks separate, with the punctuation around it apart.

    What stands inside stays: "rock'n'roll", "3.5" and "t.co/x" are a word each. @ and # stay at the front of a name.
    """
    return [place for run in _RUN.finditer(text) for place in _peeled(text, *run.span())]


def cut_text(text: str, spans: Sequence[Span]) -> tuple[tuple[str, ...], list[Span]]:
    """The words of a text between blanks and at the borders of some spans of characters, and these spans in words."""
    borders = sorted({place for span in spans for place in span})
    words: list[str] = []
    starts: dict[int, int] = {}
    ends: dict[int, int] = {}
    for run in _RUN.finditer(text):
        inside = [place for place in borders if run.start() < place < run.end()]
        edges = [run.start(), *inside, run.end()]
        for start, end in pairwise(edges):
            starts[start], ends[end] = len(words), len(words) + 1
            words.append(text[start:end])
    return tuple(words), [(starts[start], ends[end]) for start, end in spans]


def find_span(text: str, wanted: str, place: str) -> Span:
    """Where some words stand in a text, in characters; as whole words, exactly once.

    Args:
        place: what they are, for messages.

    Raises:
        QueryError: they do not, or several times.
    """
    if not wanted.strip():
        raise QueryError(f"{place} is {wanted!r:.60}; expected words of the sentence.")
    wanted = wanted.strip()
    # Only where a letter or digit would go on there, so that "(Oslo)" and scripts without blanks are found as well.
    pattern = re.escape(wanted)
    pattern = rf"\b{pattern}" if re.match(r"\w", wanted) else pattern
    found = [match.span() for match in re.finditer(rf"{pattern}\b" if re.search(r"\w\Z", wanted) else pattern, text)]
    if not found:  # a part of a word, or of a text without blanks
        found = [match.span() for match in re.finditer(re.escape(wanted), text)]
    if len(found) != 1:
        raise QueryError(
            f"{place} {wanted!r:.60} stands {len(found)} times in the sentence {text!r:.100}; expected once. Pass its "
            "place (start, end) in characters instead."
        )
    return found[0]


def trimmed(text: str, start: int, end: int) -> Span:
    """A span without the blanks at its ends; of blanks alone nothing is left."""
    part = text[start:end]
    start += len(part) - len(part.lstrip())
    return start, start + len(part.strip())


def count_cut(word_at: NDArray[np.int64], mask: NDArray[np.int64], sentences: Iterable[Sequence[str]]) -> int:
    """How many sentences have words that begin behind their last word piece.

    Args:
        word_at: int64 [sentences, pieces], the word that begins at each piece, or -1.
        mask: int64 [sentences, pieces], 1 on pieces; a sentence of fewer was not cut.
    """
    last = word_at.max(axis=1, initial=-1)
    counts = np.fromiter(map(len, sentences), np.int64, len(last))
    return int((mask.all(axis=1) & (last < counts - 1)).sum())


def _peeled(text: str, start: int, end: int) -> Iterator[Span]:
    """A run without blanks: punctuation in front, the word, punctuation behind; each sign a word of its own."""
    last = end
    while last > start and _is_sign(text[last - 1]):
        last -= 1
    first = start
    while first < last and _is_sign(text[first]) and not (text[first] in "@#" and first + 1 < last):
        yield first, first + 1
        first += 1
    if first < last:
        yield first, last
    yield from ((place, place + 1) for place in range(last, end))


def _is_sign(character: str) -> bool:
    """Punctuation or a symbol; letters, digits, marks and joiners are none."""
    return unicodedata.category(character)[0] in "PS"
