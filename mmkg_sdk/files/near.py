"""What an unknown label may have meant, found in milliseconds: a server must not stop for one that is misspelt."""

from __future__ import annotations

import difflib
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

_CUTOFF = 0.6  # of the share of characters that two texts have in common, in order
_LONGEST = 200
_MOST_SLIPS = 20_000


def plain(text: str) -> str:
    """A text without what does not matter in a comparison: case, and underscores for spaces."""
    return text.casefold().replace("_", " ")


def alike(wanted: str, plains: Iterable[str], count: int) -> list[str]:
    """The `count` texts that are most like one, best first; all of them as `plain` makes them."""
    wanted = plain(wanted)[:_LONGEST]
    try:
        from rapidfuzz.distance import Indel
        from rapidfuzz.process import extract
    except ImportError:
        return difflib.get_close_matches(wanted, plains, n=count, cutoff=_CUTOFF)
    found = extract(wanted, list(plains), scorer=Indel.normalized_similarity, limit=count, score_cutoff=_CUTOFF)
    return [text for text, _, _ in found]


def most_compared() -> int:
    """How many labels `alike` compares in some 10 ms: rapidfuzz millions in a second, the standard library 25,000."""
    try:
        import rapidfuzz  # noqa: F401
    except ImportError:
        return 500
    return 50_000


def slips(wanted: str, sample: Sequence[str]) -> list[str]:
    """Texts that are one slip away, the likeliest first: another case, a letter more, less, other or exchanged.

    Args:
        sample: some of the texts that there are; their letters are those that are tried.
    """
    letters = [letter for letter, _ in Counter("".join(sample)).most_common(100)]
    spellings = list(dict.fromkeys(_spellings(wanted[:_LONGEST])))
    tried = itertools.chain(spellings, *(_edits(spelling, letters) for spelling in spellings))
    return list(dict.fromkeys(itertools.islice(tried, _MOST_SLIPS)))


def _spellings(text: str) -> Iterator[str]:
    cases: tuple[Callable[[str], str], ...] = (str, str.lower, str.capitalize, str.title, str.upper)
    for case in cases:
        yield case(text)
        yield case(text).replace("_", " ")
        yield case(text).replace(" ", "_")


def _edits(text: str, letters: Sequence[str]) -> Iterator[str]:
    for i in range(len(text)):
        yield text[:i] + text[i + 1 :]
        yield text[:i] + text[i + 1 : i + 2] + text[i] + text[i + 2 :]
    for i in range(len(text) + 1):
        for letter in letters:
            yield text[:i] + letter + text[i:]
            yield text[:i] + letter + text[i + 1 :]
