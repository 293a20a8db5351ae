"""docs/architecture.md says what is checked."""

from __future__ import annotations

import re
import tomllib

from tests.docs.pages import blocks, table, text_of


def names(layer: str) -> set[str]:
    return set(re.split(r"[ |]+", layer.strip()))


def test_the_rooms_stand_in_the_order_that_is_checked() -> None:
    (contract, _) = tomllib.loads(text_of("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    checked = [names(layer) - {"__main__", "version"} for layer in contract["layers"]]
    said = [names(re.split(r" {2,}", line)[0]) for line in blocks("docs/architecture.md", "text")[1][1].splitlines()]
    assert said == [layer for layer in checked if layer]


def test_every_word_is_explained_once_and_found_by_the_alphabet() -> None:
    words = [row[0] for row in table("docs/architecture.md", "word")[1]]
    assert words == sorted(set(words))
