"""Texts as words, and spans of characters as spans of words."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmkg_sdk.errors import QueryError
from mmkg_sdk.modalities.words import cut_text, find_span, split_text, trimmed


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("(Oslo) is Norway's capital.", ["(", "Oslo", ")", "is", "Norway's", "capital", "."]),
        ("@bob #tag: t.co/x ...", ["@bob", "#tag", ":", "t.co/x", ".", ".", "."]),
        ("rock'n'roll, 3.5 %", ["rock'n'roll", ",", "3.5", "%"]),
        ("हिन्दी में।", ["हिन्दी", "में", "।"]),
        ("שלום עולם!", ["שלום", "עולם", "!"]),
        ("😀hi😀", ["😀", "hi", "😀"]),
        ("@ # ## -", ["@", "#", "#", "#", "-"]),
        ("", []),
        ("\u3000\n", []),
    ],
)
def test_a_text_is_split_at_blanks_and_around_punctuation(text: str, words: list[str]) -> None:
    assert [text[start:end] for start, end in split_text(text)] == words


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40))
def test_words_hold_every_character_but_blanks_in_order(text: str) -> None:
    places = split_text(text)
    assert "".join(text[start:end] for start, end in places) == re.sub(r"\s", "", text)
    assert all(start < end for start, end in places)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ab .\u3000", min_size=1, max_size=20), st.data())
def test_a_span_of_characters_is_one_of_words(text: str, data: st.DataObject) -> None:
    spans = []
    for _ in range(2):
        start = data.draw(st.integers(0, len(text) - 1))
        start, end = trimmed(text, start, data.draw(st.integers(start + 1, len(text))))
        if start == end:
            return
        spans.append((start, end))
    words, found = cut_text(text, spans)
    assert "".join(words) == re.sub(r"\s", "", text)
    for (start, end), (first, last) in zip(spans, found, strict=True):
        assert "".join(words[first:last]) == re.sub(r"\s", "", text[start:end])


def test_words_are_found_where_they_stand_once() -> None:
    assert find_span("a Roman in Rome", "Rome", "head") == (11, 15)
    assert find_span("a Roman in Rome", " Roman ", "head") == (2, 7)
    assert find_span("東京は日本の首都", "日本", "head") == (3, 5)
    assert find_span("price (US$)", "(US$)", "head") == (6, 11)
    assert find_span("Romania", "Roman", "head") == (0, 5)  # no word, but there is only one place for it
    for text, wanted, count in [("Rome, Rome", "Rome", 2), ("Rome", "rome", 0), ("Romania Romanian", "Roma", 2)]:
        with pytest.raises(QueryError, match=f"tail '{wanted}' stands {count} times"):
            find_span(text, wanted, "tail")
    with pytest.raises(QueryError, match="head is ' '; expected words"):
        find_span("a b", " ", "head")


def test_a_megabyte_is_split_at_once() -> None:
    began = time.monotonic()
    for text in ("." * 10**6, "a" * 10**6, "a." * 10**6):
        assert split_text(text)
        cut_text(text, [(1, 2), (5, 9)])
    assert time.monotonic() - began < 20
