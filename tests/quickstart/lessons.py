"""What the quickstart tells a user to try on the models of the embedded sentences."""

from __future__ import annotations

import shlex

from mmkg_sdk.cli.commands.quickstart import NEXT
from mmkg_sdk.modalities.words import split_text


def shown(source: str, option: str) -> str:
    """What the quickstart passes for an option in the first command that it shows after a data source."""
    words = shlex.split(NEXT[source].splitlines()[0])
    return words[words.index(option) + 1]


def words(sentence: str) -> tuple[str, ...]:
    """The words of a typed sentence as the atlas has them, punctuation apart."""
    return tuple(sentence[start:end] for start, end in split_text(sentence))
