"""What of a language model's tokenizer.json a bundle carries, and which rules it may hold.

Everything that is not in these lists is refused: a regular expression of a stranger may run without end, merges may be
left out at random, and the tables of SentencePiece's `Precompiled` are read by the package without a check.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .tokenizer_rules import BLANKS, CLIP_WORDS, CLIP_WORDS_AND_TOKENS, unknown_rule

# What stands around a text, cuts it or makes it a text again has no part in its ids.
_CARRIED = ("version", "added_tokens", "normalizer", "pre_tokenizer", "model")
_MODELS = {
    "WordPiece": {"unk_token", "continuing_subword_prefix", "max_input_chars_per_word"},
    "WordLevel": {"unk_token"},
    "Unigram": {"unk_id", "byte_fallback"},
    "BPE": {
        *("dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", "byte_fallback"),
        *("ignore_merges", "merges"),
    },
}
_RULES = {
    *("BertNormalizer", "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Strip", "Prepend", "Replace"),
    *("BertPreTokenizer", "Whitespace", "WhitespaceSplit", "Punctuation", "Digits", "Split", "ByteLevel", "Metaspace"),
    "Sequence",
}
_ENGLISH = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
# Of CLIP, GPT-2, Llama 3 and Qwen 2; two blanks or more.
_PATTERNS = {
    *(BLANKS, r" {2,}", CLIP_WORDS, CLIP_WORDS_AND_TOKENS),
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    *(rf"{_ENGLISH}|\p{{N}}{{1,3}}{_REST}", rf"{_ENGLISH}|\p{{N}}{_REST}"),
}


def carried_rules(content: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a tokenizer.json that makes the ids of a text.

    Raises:
        ValueError: it holds a rule that is not carried.
    """
    carried = {name: content.get(name) for name in _CARRIED}
    model = carried["model"]
    kind = model.get("type") if isinstance(model, dict) else None
    if not isinstance(model, dict) or not isinstance(kind, str) or kind not in _MODELS:
        raise ValueError(f"its model is {kind!r:.80}; carried are {', '.join(_MODELS)}")
    if further := {*model} - _MODELS[kind] - {"type", "vocab"}:
        raise ValueError(f"its model has {sorted(further)[0]!r:.80}, which is not carried")
    if model.get("dropout") is not None:
        raise ValueError(f"it leaves out merges at random (dropout {model['dropout']!r:.80})")
    for name in ("normalizer", "pre_tokenizer"):
        if unknown := unknown_rule(carried[name], _RULES, _PATTERNS):
            raise ValueError(f"its {name} has the {unknown}, which is not carried")
    return carried
