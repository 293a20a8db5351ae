"""Tokens of a language model by its rules alone, and rules that no bundle carries."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest

from mmkg_sdk.errors import DataError, QueryError
from mmkg_sdk.modalities.model_rules import carried_rules
from mmkg_sdk.modalities.model_text_tokens import ModelTextTokenizer

pytest.importorskip("tokenizers", reason="texts need tokenizers")

PIECES = ["[UNK]", "red", "stone", "##s", ",", "the"]
RULES: dict[str, Any] = {
    "version": "1.0",
    "added_tokens": [
        {"id": 6, "content": "[SEP]", "special": True}
        | dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    ],
    "normalizer": {"type": "Sequence", "normalizers": [{"type": "Lowercase"}]},
    "pre_tokenizer": {"type": "BertPreTokenizer"},
    "model": {
        "type": "WordPiece",
        "vocab": {piece: row for row, piece in enumerate(PIECES)},
        "unk_token": "[UNK]",
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100,
    },
}


def tokenizer(rules: Any = RULES, rows: tuple[int, ...] = (0, 1, 2, 3, -1, -1, 6)) -> ModelTextTokenizer:
    """A comma and "the" are left out."""
    return ModelTextTokenizer(json.dumps(rules).encode(), np.array(rows))


def test_pieces_are_kept_in_their_order_and_what_was_dropped_is_left_out() -> None:
    texts = ["The red, red stones", "", "the ,", "Blue[SEP]"]
    assert tokenizer().tokens(texts) == [[1, 1, 2, 3], [], [], [0, 6]]
    assert (tokenizer().piece(3), tokenizer().piece(6), tokenizer().piece(4)) == ("##s", "[SEP]", "")
    with pytest.raises(QueryError, match="surrogate"):
        tokenizer().tokens(["\ud800"])


def test_an_id_behind_the_codebook_is_left_out() -> None:
    assert tokenizer(rows=(0, 1)).tokens(["red stone unknown"]) == [[1, 0]]


def test_moved_ids_have_their_new_rows_and_others_behind_are_left_out() -> None:
    moved = tokenizer(rows=(0, 1, 2, 3, 4, 5, 6)).moved({3: 2}, 1)
    assert moved.tokens(["red stones"]) == [[1, 2]]
    assert moved.piece(2) == "##s"


def test_what_stands_around_a_text_does_not_travel() -> None:
    given = {
        **RULES,
        "post_processor": {"type": "Anything"},
        "decoder": {"type": "Any"},
        "truncation": {"max_length": 2},
    }
    assert carried_rules(given) == RULES


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("normalizer",), {"type": "Precompiled", "precompiled_charsmap": "AAAA"}, "type 'Precompiled'"),
        (("normalizer", "normalizers"), [{"type": "Precompiled", "precompiled_charsmap": ""}], "type 'Precompiled'"),
        (
            ("pre_tokenizer",),
            {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False},
            r"Regex '\(a\+\)\+\$'",
        ),
        (("pre_tokenizer",), {"type": ["Split"]}, "type"),
        (("model", "type"), "Neural", "its model is 'Neural'"),
        (("model", "type"), ["BPE"], "its model is "),
        (("model", "sampling"), 1, "its model has 'sampling'"),
        (("model",), {"type": "BPE", "vocab": {}, "merges": [], "dropout": 0.5}, "at random"),
        (("model",), None, "its model is None"),
        (("model", "vocab"), {"red": "x"}, "cannot be read"),
        (("added_tokens",), [{"content": 3}], "cannot be read"),
    ],
    ids=str,
)
def test_rules_that_no_bundle_carries_are_refused(place: tuple[str, ...], value: Any, message: str) -> None:
    rules = copy.deepcopy(RULES)
    part = rules
    for name in place[:-1]:
        part = part[name]
    part[place[-1]] = value
    with pytest.raises(DataError, match=f"rules of a text tokenizer cannot be read: .*{message}|{message}"):
        tokenizer(rules).tokens(["red"])


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b'{"model": 1, "model": 2}', b"{"])
def test_damaged_rules_are_refused(content: bytes) -> None:
    with pytest.raises(DataError, match=r"tokenizers\.safetensors"):
        ModelTextTokenizer(content, np.array([0])).tokens(["red"])
