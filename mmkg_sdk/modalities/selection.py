"""MyGO's selection rule: which of an entity's tokens a model sees."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def most_frequent(tokens: Sequence[int], count: int) -> list[int]:
    """The `count` most frequent tokens, each once, from most to least; equally frequent ones by first appearance."""
    # most_common keeps the order of first appearance among equal counts.
    return [token for token, _ in Counter(tokens).most_common(count)]
